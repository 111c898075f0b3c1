import { candidates } from '../cedar/evaluate.ts'
import type { EntityUid, Expr } from '../cedar/json.ts'
import { evaluatePartially } from '../cedar/partial.ts'
import { type CedarRecord, recordOf, unknown } from '../cedar/value.ts'
import { unknownFact } from '../facts/record.ts'
import type { Requirement } from '../policy/annotations.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Residual } from '../settle/program.ts'
import type { Truth } from './known.ts'
import type { What } from './what.ts'

/** What one evaluation is made of, beside the principal. */
export type Judging = { what: What; bundle: LoadedBundle; truth: Truth | undefined; now: number }

/**
 * The policies whose `@requires` isn't met, each with the condition that is left of it; `undefined` where it is false
 * anyway. To such a policy, a fact that is older than it bears is as unknown as one that nobody stated, and without all
 * of its facts it is never true.
 */
export const unmetIn = (principal: EntityUid, judging: Judging): ReadonlyMap<string, Residual | undefined> => {
  const { what, bundle, truth, now } = judging
  if (!bundle.facts.requires) return NONE
  const { action, resource, context, entities } = what
  const unmet = new Map<string, Residual | undefined>()
  for (const { id } of candidates(bundle.policies, { principal, action, resource }, entities)) {
    const lacking = (bundle.rules.get(id)?.requires ?? []).filter(one => !isMet(one, truth, now))
    if (lacking.length === 0) continue
    const names = lacking.map(({ fact }) => fact)
    const request = { principal, action, resource, context: without(context, names) }
    unmet.set(id, residualOf(id, names, evaluatePartially(bundle.policies, request, entities)))
  }
  return unmet
}

const NONE: ReadonlyMap<string, undefined> = new Map()

const isMet = ({ fact, maxAgeMs }: Requirement, truth: Truth | undefined, now: number): boolean => {
  const finding = truth?.findings.get(fact)
  if (finding?.status !== 'known') return false
  return maxAgeMs === undefined || now - finding.fact.observedAt <= maxAgeMs
}

const without = (context: CedarRecord, names: readonly string[]): CedarRecord => {
  const facts = context.fields.get('facts')
  if (typeof facts !== 'object' || facts.kind !== 'record') return context
  const left = [...facts.fields].map(
    ([name, value]) => [name, names.includes(name) ? unknown(unknownFact(name)) : value] as const,
  )
  return recordOf([...context.fields, ['facts', recordOf(left)]])
}

const residualOf = (
  policy: string,
  names: readonly string[],
  { permit, forbid }: ReturnType<typeof evaluatePartially>,
): Residual | undefined => {
  const unknowns = names.map(unknownFact)
  const left = [...permit.residual, ...forbid.residual].find(({ policyId }) => policyId === policy)
  if (left) return { unknowns: [...new Set([...unknowns, ...left.unknowns])], residual: both(unknowns, left.expr) }
  const errs = [...permit.errored, ...forbid.errored].some(({ policyId }) => policyId === policy)
  const holds = [...permit.satisfied, ...forbid.satisfied].includes(policy) || errs
  return holds ? { unknowns, residual: both(unknowns, { Value: true }) } : undefined
}

/** A condition that stays open as long as any of the names does. */
const both = (unknowns: readonly string[], rest: Expr): Expr =>
  unknowns.reduceRight((right: Expr, name): Expr => ({ '&&': { left: { unknown: name }, right } }), rest)

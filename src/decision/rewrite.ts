import type { DecideItem } from '../agent/calls/decide.ts'
import { rewrites } from '../policy/annotations.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Program, Rewrite } from '../settle/program.ts'
import type { Ask } from './ask.ts'
import type { What } from './what.ts'

/** A request as it is judged, which may be another one than was sent. */
export type Judged = Pick<DecideItem, 'program' | 'denied'> & {
  ask: Ask
  /** As policies saw it; there where they were asked. */
  asked?: What
}

/**
 * Applies what the true permits rewrite, and evaluates what came of that. Everything after this, the hash of the action,
 * its costs, approvals and the permit, is about the rewritten request.
 */
export const rewritten = (first: Judged, bundle: LoadedBundle, evaluate: (ask: Ask) => Judged): Judged => {
  if (first.denied) return first
  const rewrite = rewriteOf(first.program, first.ask, bundle)
  if (rewrite === undefined) return first
  if (rewrite === 'conflict') return denied(first.ask, 'rewrite_conflict')
  if (Object.keys(rewrite.set).length === 0) return { ...first, program: { ...first.program, rewrite } }

  const changed = applied(first.ask, rewrite)
  // What is known of the entity that an argument named says nothing of another.
  if (namesFacts(rewrite, bundle)) return denied(changed, 'rewrite_unstable')
  const second = evaluate(changed)
  if (second.denied) return second
  const again = rewriteOf(second.program, changed, bundle)
  if (again === 'conflict') return denied(changed, 'rewrite_conflict')
  const stable = Object.keys(again?.set ?? {}).length === 0 && sameFields(again?.mask ?? [], rewrite.mask)
  if (!stable) return denied(changed, 'rewrite_unstable')
  return { ...second, program: { ...second.program, rewrite } }
}

/** The request with its arguments as they are to be used. */
export const applied = (ask: Ask, { set }: Pick<Rewrite, 'set'>): Ask => ({
  ...ask,
  action: { ...ask.action, properties: { ...ask.action.properties, ...set } },
})

const namesFacts = ({ set }: Rewrite, { facts }: LoadedBundle): boolean =>
  [...facts.declared.values()].some(({ of }) => of.kind === 'argument' && Object.hasOwn(set, of.name))

const NO_PROGRAM: Program = { v: 1, legs: [] }

const denied = (ask: Ask, reason: 'rewrite_conflict' | 'rewrite_unstable'): Judged => ({
  ask,
  program: NO_PROGRAM,
  denied: { reason },
})

/** What the true permits of all legs make of the request; `undefined` where they leave it as it is. */
const rewriteOf = ({ legs }: Program, ask: Ask, bundle: LoadedBundle): Rewrite | 'conflict' | undefined => {
  // A grant's name may be that of a policy, and says nothing of rewriting.
  const permits = legs
    .filter(leg => leg.of.kind === 'principal')
    .flatMap(leg => leg.permits.filter(({ when }) => when === true).map(({ policy }) => policy))
  return rewriteBy(permits, ask, bundle)
}

export const rewriteBy = (
  permits: readonly string[],
  ask: Ask,
  bundle: LoadedBundle,
): Rewrite | 'conflict' | undefined => {
  const rules = [...new Set(permits)].flatMap(policy => bundle.rules.get(policy) ?? [])
  if (!rules.some(rewrites)) return undefined
  const mask = [...new Set(rules.flatMap(rule => rule.mask))].sort()
  const sets = new Map<string, unknown>()
  for (const { argument, value } of rules.flatMap(rule => rule.sets)) {
    if (sets.has(argument) && sets.get(argument) !== value) return 'conflict'
    sets.set(argument, value)
  }
  const given = ask.action.properties ?? {}
  const clamps = rules.flatMap(rule => rule.clamps)
  for (const argument of new Set(clamps.map(clamp => clamp.argument))) {
    const bounds = (of: 'least' | 'most') =>
      clamps.filter(clamp => clamp.argument === argument && clamp.bound === of).map(({ value }) => value)
    const [least, most] = [Math.max(...bounds('least')), Math.min(...bounds('most'))]
    if (least > most) return 'conflict'
    const set = sets.get(argument)
    const value = set ?? (Object.hasOwn(given, argument) ? given[argument] : undefined)
    if (typeof value !== 'number') continue
    const clamped = Math.min(Math.max(value, least), most)
    if (set !== undefined && clamped !== set) return 'conflict'
    sets.set(argument, clamped)
  }
  const set = Object.fromEntries(
    [...sets].filter(([name, value]) => !Object.hasOwn(given, name) || given[name] !== value),
  )
  if (mask.length === 0 && Object.keys(set).length === 0) return undefined
  return { set, mask, declared: declares(ask) }
}

/** Whether the caller says that it does what our obligations ask (AuthZEN Obligations Profile, draft 1, Negotiation). */
export const declares = ({ context }: Pick<Ask, 'context'>): boolean => {
  const supported = context?.supported_obligations
  return Array.isArray(supported) && supported.includes('custom')
}

const sameFields = (a: readonly string[], b: readonly string[]): boolean => a.join() === b.join()

import * as v from 'valibot'
import type { Receipt } from '../audit/receipt.ts'
import { convert } from '../cedar/convert.ts'
import { readClaim } from '../facts/claims.ts'
import { factOf } from '../facts/find.ts'
import type { Row } from '../facts/ledger.ts'
import type { FactRecord } from '../facts/record.ts'
import { type Fact, type Finding, verdictOf } from '../facts/verdict.ts'
import { recordsIn, type Written } from '../facts/written.ts'
import type { Grant } from '../identity/grant.ts'
import { readUid } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { BEST } from '../settle/best.ts'
import { type Program, SESSION } from '../settle/program.ts'
import { settle } from '../settle/settle.ts'
import { subjectOf } from './act.ts'
import type { Ask } from './ask.ts'
import type { Claim, Truth } from './known.ts'
import { judge } from './prepare.ts'
import type { Who } from './who.ts'

/** A decision as it is on record, and as it comes out when it is judged again. */
export type Again = {
  recorded: Judgement
  again: Judgement
  same: boolean
  /** It hung on more than the receipt holds: on limits, on the agent's standing, or on its other decisions. */
  hangs_on_state: boolean
  /** What it relied upon. */
  facts: FactRecord[]
}

type Judgement = { outcome: string; reason: string; policies: string[]; missing: string[] }

/**
 * Judges a recorded decision again, under the bundle that decided and on the facts that were known then: what the ledger
 * says by now changes nothing. Says why where that can't be: what it rests on was erased, or no policy was asked.
 */
export const judgeAgain = async (
  receipt: Pick<Receipt, 'body' | 'secrets'>,
  bundle: LoadedBundle,
  ledger: (ids: string[]) => Promise<Row[]>,
): Promise<Again | NotAgain> => {
  const body = v.safeParse(Body, receipt.body)
  if (!body.success || CALLERS.includes(body.output.decision.reason)) return 'not_judged'
  const secrets = v.safeParse(Secrets, receipt.secrets)
  if (!secrets.success) return 'erased'
  const { agent: named, acting: acted, delegated_by: chain, groups, roles, now, decision } = body.output
  const { user, ip, facts, grants, acting } = secrets.output
  if (acted !== undefined && !acting) return 'erased'
  const agent = acting?.value ?? named
  const who: Who = {
    principals: { actor: agent, chain, ...(user && { user: user.value }) },
    groups,
    grants: grants?.value ?? [],
    asserts: roles.includes('pep'),
  }
  const records = recordsIn(facts?.value ?? [])
  const rows = await ledger(records.flatMap(one => one.facts.flatMap(fact => ('value' in fact ? [] : fact.id))))
  const known = new Map(rows.map(row => [row.hash, row]))
  if (records.some(one => one.facts.some(fact => !('value' in fact) && !known.has(fact.hash)))) return 'erased'
  const truth = truthOf(records, decision, bundle, known)
  const edge = { now, ...(ip && { ip: ip.value }) }
  const { program, denied } = judge(askOf(body.output, secrets.output, who), who, { bundle, edge }, { truth }, [])
  const state = { ...BEST, approved: (policy: string) => decision.lifted.includes(policy) }
  const again = denied
    ? { ...NOTHING, reason: denied.reason }
    : judgementOf(settle(asDeclared(program, decision), state, now))
  const recorded = judgementOf(decision)
  return {
    recorded,
    again,
    same: JSON.stringify(recorded) === JSON.stringify(again),
    hangs_on_state:
      STATE.includes(decision.reason) || decision.missing.some(name => name.startsWith('after.')) || remembers(program),
    facts: records,
  }
}

/** What the caller declared then shows in what it was answered. */
const asDeclared = (program: Program, { outcome }: { outcome: string }): Program =>
  program.rewrite ? { ...program, rewrite: { ...program.rewrite, declared: outcome === 'modify' } } : program

export type NotAgain = 'erased' | 'not_judged'

const NOTHING: Judgement = { outcome: 'deny', reason: '', policies: [], missing: [] }

/** Denials of callers, before any policy. */
const CALLERS: readonly string[] = [
  'unknown_agent',
  'unknown_principal',
  'attestation_refused',
  'credential_refused',
  'redaction_failed',
]
/** What the agent's object decided by what it alone knows. */
const STATE: readonly string[] = [
  'suspended',
  'revoked',
  'killed',
  'session_tampered',
  'session_unlinked',
  'rate_limited',
  'budget_exhausted',
  'grant_exhausted',
  'outcome_unknown',
  'obligation_unsupported',
  'dependency_denied',
]

/** Whether a policy asks what went before in the session. */
const remembers = ({ legs }: Program): boolean =>
  legs
    .flatMap(({ permits, forbids }) => [...permits, ...forbids])
    .some(({ when }) => when !== true && when.unknowns.includes(SESSION))

const judgementOf = ({ outcome, reason, policies, missing }: Judgement): Judgement => ({
  outcome,
  reason,
  policies,
  missing,
})

const Uid = v.object({ type: v.string(), id: v.string() })
const Json = v.record(v.string(), v.unknown())
const secret = <S extends v.GenericSchema>(value: S) => v.object({ value })

const Body = v.object({
  agent: Uid,
  /** There where the agent goes by a pseudonym. */
  acting: v.optional(v.string()),
  delegated_by: v.optional(v.array(Uid), []),
  groups: v.optional(v.array(Uid), []),
  roles: v.array(v.string()),
  action: v.string(),
  now: v.number(),
  decision: v.object({
    outcome: v.string(),
    reason: v.string(),
    policies: v.array(v.string()),
    missing: v.optional(v.array(v.string()), []),
    lifted: v.optional(v.array(v.string()), []),
    problems: v.optional(v.array(v.object({ pointer: v.string(), code: v.string(), expected: v.string() })), []),
  }),
})
type Body = v.InferOutput<typeof Body>

/** Written by `recordOf`; a receipt of which something was erased lacks them. */
const Secrets = v.object({
  resource: secret(Uid),
  arguments: secret(Json),
  user: v.optional(secret(Uid)),
  acting: v.optional(secret(Uid)),
  ip: v.optional(secret(v.string())),
  asserted: v.optional(
    secret(
      v.object({
        subject: v.optional(Json),
        actor: v.optional(Json),
        resource: v.optional(Json),
        context: v.optional(Json),
      }),
    ),
  ),
  grants: v.optional(secret(v.custom<Grant[]>(Array.isArray))),
  fields: v.optional(secret(Json)),
  facts: v.optional(secret(v.custom<Written[]>(Array.isArray))),
})
type Secrets = v.InferOutput<typeof Secrets>

const askOf = (
  { action }: Body,
  { resource, arguments: args, asserted, fields }: Secrets,
  { principals }: Who,
): Ask => {
  const { resource: properties, context, ...said } = asserted?.value ?? {}
  return {
    subject: subjectOf(principals, said),
    action: { name: action, properties: args.value },
    resource: { ...resource.value, ...(properties && { properties }) },
    ...((context || fields) && { context: { ...context, ...fields?.value } }),
  }
}

/** What was known, as the receipt tells it, and the ledger where the receipt cites that. */
const truthOf = (
  records: readonly FactRecord[],
  { reason, problems }: Body['decision'],
  bundle: LoadedBundle,
  known: ReadonlyMap<string, Row>,
): Truth | undefined => {
  const { declared } = bundle.facts
  const findings = new Map<string, Finding>()
  const claims = new Map<string, Claim>()
  for (const record of records) {
    const { name, claimed } = record
    const fact = declared.get(name)
    const finding = findingOf(record, bundle, known)
    if (fact) findings.set(name, finding)
    if (!('claimed' in record)) continue
    const read = fact && readClaim(fact, claimed, '')
    if (fact && read?.ok) {
      claims.set(name, { json: claimed, value: read.value, verdict: verdictOf(fact, read.value, finding) })
    } else claims.set(name, { json: claimed, verdict: 'unsupported' })
  }
  // Claims that didn't fit aren't on record, only that they didn't.
  const unfit = (reason === 'schema_mismatch' ? problems : [])
    .filter(({ pointer }) => /^\/context\/(claims|attestations|after|continues)/.test(pointer))
    .map(problem => ({ ...problem, code: 'mistyped' as const }))
  if (records.length === 0 && unfit.length === 0) return undefined
  return { findings, entities: new Map(), claims, problems: unfit, refused: [], head: 0 }
}

const findingOf = (
  { name, status, facts }: FactRecord,
  bundle: LoadedBundle,
  known: ReadonlyMap<string, Row>,
): Finding => {
  const type = bundle.facts.declared.get(name)?.type
  const read = facts.flatMap((fact): Fact[] => {
    if (!('value' in fact)) {
      const row = known.get(fact.hash)
      return row ? factOf(row, readUid(row.entity), bundle) : []
    }
    const { observed_at: observedAt, valid_until: validUntil, value: json, ...told } = fact
    const value = type && convert(type, json)
    return value?.ok ? [{ ...told, ...NOWHERE, json, value: value.value, observedAt, validUntil }] : []
  })
  const [first] = read
  if (status !== 'known' && status !== 'verified' && status !== 'contradicted') return { status, facts: read }
  return first ? { status: 'known', fact: first } : { status: 'unsupported', facts: [] }
}

/** The receipt says that it was about what was asked; what exactly, policies don't see. */
const NOWHERE = { entity: { type: '', id: '' }, predicate: '' }

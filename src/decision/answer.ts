import * as v from 'valibot'
import type { Decided } from '../agent/calls/decide.ts'
import type { EntityUid } from '../cedar/json.ts'
import { AccessRequest } from '../escalation/requestable.ts'
import type { LoadedFacts } from '../facts/load.ts'
import { type ClaimRecord, unknownFact } from '../facts/record.ts'
import { origins, verdicts } from '../facts/verdict.ts'
import { outcomes } from '../settle/outcome.ts'
import type { Quota } from '../settle/quota.ts'
import { Obligation, obligationsOf, rewriteObligations } from './obligations.ts'
import { reasons } from './reasons.ts'
import type { Refusal } from './refusal.ts'

const Reason = v.picklist(Object.keys(reasons) as (keyof typeof reasons)[])
/**
 * A fact that speaks for or against a claim. One that verifies it is only named, one that agents carried or that speaks
 * against it is told; its value to agents only where the declaration says `disclose`.
 */
const FactAnswer = v.object({
  id: v.string(),
  source: v.string(),
  value: v.optional(v.unknown()),
  observed_at: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  valid_until: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  evidence: v.optional(v.string()),
  from: v.picklist(origins),
})

export const ClaimAnswer = v.object({
  name: v.string(),
  status: v.picklist(verdicts),
  claimed: v.unknown(),
  facts: v.array(FactAnswer),
})

const Problem = v.object({ pointer: v.string(), code: v.string(), expected: v.string() })

/** The context of an AuthZEN decision: the one shape in which every decision is answered. */
export const DecisionContext = v.object({
  evaluation_id: v.pipe(v.string(), v.uuid()),
  evaluated_at: v.pipe(v.string(), v.isoTimestamp()),
  outcome: v.picklist(outcomes),
  reason: Reason,
  /** Whether a receipt was committed before this answer. */
  recorded: v.boolean(),
  /** Hash of the bundle that decided; absent where there was none. */
  bundle: v.optional(v.string()),
  /** Ids of the policies that decided; given to PEPs, admins and auditors, to agents where the bundle lets them know. */
  policies: v.optional(v.array(v.string())),
  /** A signed permit (JWT) for the tool: allow and modify only. */
  permit: v.optional(v.string()),
  /** Of the limits and budgets that bore on it, the one with the least room; `window` in whole seconds. */
  limit: v.optional(
    v.object({
      policy: v.optional(v.string()),
      quota: v.number(),
      remaining: v.number(),
      window: v.optional(v.number()),
    }),
  ),
  missing: v.optional(v.array(v.object({ name: v.string(), sources: v.array(v.string()) }))),
  /** Where the request doesn't fit the schema. */
  problems: v.optional(v.array(Problem)),
  /** On defer: where to learn that what is missing has come, and until when it is waited for. */
  wait: v.optional(v.object({ href: v.string(), until: v.pipe(v.string(), v.isoTimestamp()) })),
  /** The deferred evaluation that this one took up again. */
  continues: v.optional(v.string()),
  /** What became of each claim. */
  claims: v.optional(v.array(ClaimAnswer)),
  /** The arguments to use, or to ask again with; where they aren't those of the request. */
  arguments: v.optional(v.record(v.string(), v.unknown())),
  /** Fields of the result that must be kept back. */
  mask: v.optional(v.array(v.string())),
  /** What has to be done with the decision (AuthZEN Obligations Profile, draft 1). */
  obligations: v.optional(v.array(Obligation)),
  /** Whole seconds. */
  retry_after: v.optional(v.number()),
  /** How to ask a human, on step_up (Access Request and Approval Profile). */
  access_request: v.optional(AccessRequest),
  /** What to do next, where an approval was presented and the action is denied (the same profile). */
  next_action: v.optional(v.picklist(['request', 'retry', 'none'])),
  /** The approval that let the action pass. */
  approval: v.optional(v.object({ id: v.string(), approved_until: v.pipe(v.string(), v.isoTimestamp()) })),
  /** Whose authority didn't reach: grants, by their ids; principals where policies are shown too. */
  refused_by: v.optional(
    v.array(
      v.union([
        v.object({ grant: v.string() }),
        v.object({ principal: v.object({ type: v.string(), id: v.string() }) }),
      ]),
    ),
  ),
})

/** An AuthZEN Decision (Authorization API 1.0, Information Model, Decision). */
export const Answer = v.object({ decision: v.boolean(), context: DecisionContext })
export type Answer = v.InferOutput<typeof Answer>

/** An item of a batch that got no decision: closed by default, with what the problem document would have said. */
export const FailedItem = v.object({
  decision: v.literal(false),
  context: v.object({
    reason: Reason,
    recorded: v.literal(false),
    error: v.object({ status: v.number(), message: v.string(), pointer: v.optional(v.string()) }),
    retry_after: v.optional(v.number()),
  }),
})
export type FailedItem = v.InferOutput<typeof FailedItem>

type Shown = {
  explain: boolean
  facts: LoadedFacts
  claims: readonly ClaimRecord[]
  tells: Tells
  waitAt: string
  permit?: string
  /** How a human may be asked. */
  request?: AccessRequest
  /** The arguments to use, where they were changed. */
  arguments?: Record<string, unknown>
  /** Whom the first legs judged, in their order. */
  judged: readonly EntityUid[]
}

/** The answer to what an agent's object decided and recorded. */
export const answerOf = (decided: Decided, more: Shown): Answer => ({
  decision: decided.outcome === 'allow' || decided.outcome === 'modify',
  context: {
    evaluation_id: decided.evaluationId,
    evaluated_at: new Date(decided.at).toISOString(),
    outcome: decided.outcome,
    reason: decided.reason,
    recorded: true,
    bundle: decided.bundle,
    ...(more.explain && { policies: decided.policies }),
    ...(more.permit !== undefined && { permit: more.permit }),
    ...(decided.quota && { limit: limitOf(decided.quota, more.explain) }),
    ...(decided.missing.length > 0 && {
      missing: decided.missing.map(name => ({ name, sources: sourcesOf(name, more.facts) })),
    }),
    ...(decided.problems && { problems: decided.problems }),
    ...(decided.waitUntil !== undefined && {
      wait: { href: more.waitAt, until: new Date(decided.waitUntil).toISOString() },
    }),
    ...(decided.continues !== undefined && { continues: decided.continues }),
    ...(more.claims.length > 0 && { claims: more.claims.map(claim => claimAnswer(claim, more.tells)) }),
    ...(more.arguments && { arguments: more.arguments }),
    ...rewritten(decided),
    ...obliged(decided, more.arguments),
    ...(decided.retryAfter !== undefined && { retry_after: decided.retryAfter }),
    ...(more.request && { access_request: more.request }),
    ...nextAction(decided, more.request),
    ...approvalUsed(decided),
    ...refusedBy(decided, more),
  },
})

/** Only a denial of what was presented with an approval says what comes next (profile, Completion Semantics). */
const nextAction = (decided: Decided, request: AccessRequest | undefined) => {
  if (decided.presented === undefined || decided.outcome === 'allow' || decided.outcome === 'modify') return {}
  if (request) return { next_action: 'request' } as const
  const transient = decided.retryAfter !== undefined || decided.outcome === 'defer'
  return { next_action: transient ? 'retry' : 'none' } as const
}

/** The one that was presented, else the first of those that stood. */
const approvalUsed = ({ approvals = [], presented }: Decided) => {
  const used = approvals.find(({ id }) => id === presented) ?? approvals[0]
  return used && { approval: { id: used.id, approved_until: new Date(used.until).toISOString() } }
}

const rewritten = ({ rewrite }: Decided) => ({
  ...(rewrite && rewrite.mask.length > 0 && { mask: rewrite.mask }),
})

/** An agent has its grants before it, so it may know which of them refused. */
const refusedBy = ({ refusedBy = [] }: Decided, { explain, judged }: Shown): Pick<Answer['context'], 'refused_by'> => {
  const shown = refusedBy.flatMap((by): NonNullable<Answer['context']['refused_by']> => {
    if ('grant' in by) return [{ grant: by.grant }]
    const principal = explain ? judged[by.leg] : undefined
    return principal ? [{ principal: { type: principal.type, id: principal.id } }] : []
  })
  return shown.length > 0 ? { refused_by: shown } : {}
}

/** What the caller has to do with the decision, and with the result. */
const obliged = ({ evaluationId, outcome, duties, rewrite }: Decided, args: Record<string, unknown> | undefined) => {
  const obligations = [
    ...(duties ? obligationsOf(evaluationId, duties) : []),
    ...(rewrite && outcome === 'modify' ? rewriteObligations(args, rewrite.mask) : []),
  ]
  return obligations.length > 0 ? { obligations } : {}
}

/** Whether the caller is told what facts say of a name. */
export type Tells = (name: string) => boolean

export const claimAnswer = (
  { name, status, claimed, facts }: ClaimRecord,
  tells: Tells,
): v.InferOutput<typeof ClaimAnswer> => ({
  name,
  status,
  claimed,
  facts: facts.map(fact => {
    const { id, source, from } = fact
    if (!('value' in fact)) return { id, source, from }
    return {
      id,
      source,
      ...(tells(name) && { value: fact.value }),
      observed_at: new Date(fact.observed_at).toISOString(),
      valid_until: new Date(fact.valid_until).toISOString(),
      ...(fact.evidence !== undefined && tells(name) && { evidence: fact.evidence }),
      from,
    }
  }),
})

/** The sources that could give what is missing. */
const sourcesOf = (unknown: string, { declared, sources, types }: LoadedFacts): string[] => {
  const fact = [...declared.values()].find(({ name }) => unknownFact(name) === unknown)
  if (!fact) return []
  return [...sources.values()]
    .filter(source => types.some(type => source.speaksOf(type, fact.predicate)))
    .sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id)
}

const limitOf = ({ policy, capacity, left, windowMs }: Quota, explain: boolean) => ({
  ...(explain && { policy }),
  quota: capacity,
  remaining: left,
  ...(windowMs !== undefined && { window: Math.ceil(windowMs / 1000) }),
})

/** A denial that stands on no record: the control plane couldn't get as far as deciding, so nothing is allowed. */
export const unrecorded = (
  reason: 'no_policy' | 'bundle_stale' | 'control_unreachable' | 'overloaded' | 'chain_fork',
  at: { evaluationId: string; now: number; bundle?: string; retryAfter?: number },
): Answer => ({
  decision: false,
  context: {
    evaluation_id: at.evaluationId,
    evaluated_at: new Date(at.now).toISOString(),
    outcome: 'deny',
    reason,
    recorded: false,
    ...(at.bundle !== undefined && { bundle: at.bundle }),
    ...(at.retryAfter !== undefined && { retry_after: at.retryAfter }),
  },
})

export const failedItem = ({ status, reason, pointer, detail, retryAfter }: Refusal): FailedItem => ({
  decision: false,
  context: {
    reason,
    recorded: false,
    error: { status, message: detail ?? reasons[reason], ...(pointer !== undefined && { pointer }) },
    ...(retryAfter !== undefined && { retry_after: retryAfter }),
  },
})

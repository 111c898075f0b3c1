import * as v from 'valibot'
import { Ask } from '../decision/ask.ts'
import type { EscalationState, OpenCall, Requirement, Status, Vote, Widening } from '../escalation/call.ts'
import { factsAsked, type Sight } from '../escalation/sight.ts'
import type { Listed } from '../escalation/store.ts'
import { progressOf } from '../escalation/vote.ts'
import type { ShownFact } from '../facts/shown.ts'
import { verdicts } from '../facts/verdict.ts'
import { GrantItem } from '../identity/grant.ts'
import { Standing, StandingLimits, standingLimits, standingOf } from './standing.ts'
import { Time, timeText } from './time.ts'
import { ToldFact, toldFact } from './told-fact.ts'

/** Requests for approval as approvers and those who oversee them are answered. */

export const statuses = ['pending', 'approved', 'denied', 'expired', 'cancelled', 'failed'] as const
/** As everyone may see it: what isn't delivered isn't approved yet. */
export const statusShown = (status: Status): (typeof statuses)[number] => (status === 'approving' ? 'pending' : status)

const Uid = v.object({ type: v.string(), id: v.string() })

/** A request as it is listed. */
export const ListedAnswer = v.object({
  task: v.string(),
  status: v.picklist(statuses),
  /** The denied evaluation. */
  evaluation_id: v.string(),
  /** As Cedar writes them, like all entities here. */
  agent: v.string(),
  user: v.nullable(v.string()),
  action: v.string(),
  resource: v.string(),
  /** Approver groups that are asked, or may be later. */
  groups: v.array(v.string()),
  /** Requests that may be answered together have one; empty once it was erased. */
  like: v.string(),
  opened_at: Time,
  expires_at: Time,
  decided_at: v.nullable(Time),
  /** Approved for more than the one action. */
  standing: v.boolean(),
})

export const listedAnswer = (row: Listed): v.InferOutput<typeof ListedAnswer> => ({
  task: row.task,
  status: statusShown(row.status),
  evaluation_id: row.evaluationId,
  agent: row.agent,
  user: row.user,
  action: row.action,
  resource: row.resource,
  groups: groupsIn(row),
  like: row.like,
  opened_at: timeText(row.openedAt),
  expires_at: timeText(row.expiresAt),
  decided_at: row.decidedAt === null ? null : timeText(row.decidedAt),
  standing: row.standing,
})

export const groupsIn = ({ groups }: Pick<Listed, 'groups'>): string[] => JSON.parse(groups)

/** What one policy that stopped the action asks of humans. */
const RequirementAnswer = v.object({
  policy: v.string(),
  text_hash: v.string(),
  text: v.string(),
  doc: v.optional(v.string()),
  group: v.string(),
  approvals: v.number(),
  chain: v.array(v.object({ group: v.string(), after_seconds: v.number() })),
  remind_seconds: v.optional(v.number()),
  valid_seconds: v.number(),
  /** Whether approvers must say why. */
  approver_reason: v.boolean(),
  sign_in: v.boolean(),
  standing: v.optional(StandingLimits),
  /** Whether it may be answered together with others. */
  groupable: v.boolean(),
})

/** What is known of one name, and what the agent claims: see `ShownFact`. */
const FactShown = v.object({
  name: v.string(),
  status: v.picklist(['known', ...verdicts]),
  about: v.optional(Uid),
  claimed: v.optional(v.unknown()),
  facts: v.array(ToldFact),
})

const VoteAnswer = v.object({
  approver: v.string(),
  vote: v.picklist(['approve', 'reject']),
  reason: v.optional(v.string()),
  at: Time,
  /** Policies that it counts for. */
  counts: v.array(v.string()),
  signed_in: v.boolean(),
  standing: v.optional(Standing),
  /** The `digest` of what they were shown, and hashes of the facts in it. */
  shown: v.optional(v.string()),
  facts: v.optional(v.array(v.object({ name: v.string(), said: v.string(), claimed: v.optional(v.string()) }))),
})

const Granted = v.array(v.object({ grant: v.string(), items: v.array(GrantItem) }))

/** One request, with all that an approver needs to know. What was erased is empty, or not there. */
export const EscalationAnswer = v.object({
  task: v.string(),
  status: v.picklist(statuses),
  /** The denied evaluation. */
  evaluation_id: v.string(),
  /** As Cedar writes it. */
  agent: v.string(),
  /** What the record calls the agent, where it is a person. */
  record_as: v.optional(v.string()),
  principals: v.object({ actor: Uid, chain: v.array(Uid), user: v.optional(Uid) }),
  session: v.optional(v.string()),
  /** The denied action as it was asked. */
  ask: Ask,
  action_hash: v.string(),
  binding_hash: v.string(),
  /** Who sent the request, what that says of itself, and for it: theirs, and not checked by anyone. */
  requester: v.string(),
  client: v.optional(v.record(v.string(), v.unknown())),
  justification: v.optional(v.string()),
  requested_until: v.optional(Time),
  requirements: v.array(RequirementAnswer),
  /** Who must not answer. */
  barred: v.array(v.string()),
  /** Where a delegation is to have more than there is to hand on. */
  widening: v.optional(
    v.object({ child: Uid, user: v.optional(Uid), asked: v.array(GrantItem), has: Granted, added: Granted }),
  ),
  /** Whose personal data the record keeps it as. */
  about: v.optional(Uid),
  like: v.string(),
  bundle: v.object({ seq: v.number(), hash: v.string() }),
  opened_at: Time,
  expires_at: Time,
  decided_at: v.optional(Time),
  erased_at: v.optional(Time),
  /** What the denied evaluation relied upon, or lacked; and what is known of the same by now. */
  facts: v.optional(v.array(FactShown)),
  facts_now: v.optional(v.array(FactShown)),
  /** Names all that is shown here: what a vote may send back as `shown`. */
  digest: v.string(),
  votes: v.array(VoteAnswer),
  /** By policy, how many approvals there are of those that it asks for. */
  approvals: v.array(v.object({ policy: v.string(), needed: v.number(), given: v.number() })),
  /** Whether nothing can change it any more. */
  over: v.boolean(),
  /** Messages about it, and what became of them. */
  deliveries: v.array(
    v.object({
      id: v.string(),
      event: v.picklist(['requested', 'reminded', 'passed_on', 'callback']),
      webhook: v.string(),
      status: v.picklist(['pending', 'sent', 'dead', 'dropped']),
      attempts: v.array(v.object({ at: Time, status: v.optional(v.number()), error: v.optional(v.string()) })),
    }),
  ),
})
type EscalationAnswer = v.InferOutput<typeof EscalationAnswer>

export const escalationAnswer = (state: EscalationState, { factsNow, digest }: Sight): EscalationAnswer => {
  const { open, decidedAt, erasedAt } = state
  return {
    ...requestIn(open),
    status: statusShown(state.status),
    ...(decidedAt !== undefined && { decided_at: timeText(decidedAt) }),
    ...(erasedAt !== undefined && { erased_at: timeText(erasedAt) }),
    ...(factsNow.length > 0 && { facts: factsAsked(open).map(factShown), facts_now: factsNow.map(factShown) }),
    digest,
    votes: state.votes.map(voteShown),
    ...progressOf(state),
    deliveries: state.deliveries.map(({ id, event, webhook, status, attempts }) => ({
      id,
      event,
      webhook,
      status,
      attempts: attempts.map(({ at, ...attempt }) => ({ at: timeText(at), ...attempt })),
    })),
  }
}

/** What was asked for, and of whom. */
const requestIn = (open: OpenCall) => ({
  task: open.task,
  evaluation_id: open.evaluationId,
  agent: open.agent,
  ...(open.recordAs !== undefined && { record_as: open.recordAs }),
  principals: open.principals,
  ...(open.session !== undefined && { session: open.session }),
  ask: JSON.parse(open.ask) as Ask,
  action_hash: open.actionHash,
  binding_hash: open.bindingHash,
  requester: open.requester,
  ...(open.client !== undefined && { client: JSON.parse(open.client) as Record<string, unknown> }),
  ...(open.justification !== undefined && { justification: open.justification }),
  ...(open.requestedUntil !== undefined && { requested_until: timeText(open.requestedUntil) }),
  requirements: open.requirements.map(requirementShown),
  barred: open.barred,
  ...(open.widening !== undefined && { widening: JSON.parse(open.widening) as Widening }),
  ...(open.about && { about: open.about }),
  like: open.like,
  bundle: open.bundle,
  opened_at: timeText(open.at),
  expires_at: timeText(open.expiresAt),
})

const requirementShown = (requirement: Requirement): v.InferOutput<typeof RequirementAnswer> => ({
  policy: requirement.policy,
  text_hash: requirement.textHash,
  text: requirement.text,
  ...(requirement.doc !== undefined && { doc: requirement.doc }),
  group: requirement.group,
  approvals: requirement.approvals,
  chain: requirement.chain.map(({ group, afterMs }) => ({ group, after_seconds: afterMs / 1000 })),
  ...(requirement.remindMs !== undefined && { remind_seconds: requirement.remindMs / 1000 }),
  valid_seconds: requirement.validMs / 1000,
  approver_reason: requirement.approverReason,
  sign_in: requirement.signIn,
  ...(requirement.standing && { standing: standingLimits(requirement.standing) }),
  groupable: requirement.groupable,
})

const factShown = ({ facts, ...fact }: ShownFact): v.InferOutput<typeof FactShown> => ({
  ...fact,
  facts: facts.map(toldFact),
})

const voteShown = ({ signedIn, scope, at, ...vote }: Vote): v.InferOutput<typeof VoteAnswer> => ({
  ...vote,
  at: timeText(at),
  signed_in: signedIn,
  ...(scope && { standing: standingOf(scope) }),
})

import type { EntityUid } from '../cedar/json.ts'
import type { Reason } from '../decision/reasons.ts'
import type { Reading } from '../facts/find.ts'
import { groupsOfApprover, mayApprove } from './approver.ts'
import type { EscalationState, Status, VoteCall } from './call.ts'
import type { EscalationObject } from './object.ts'
import { sightOf } from './sight.ts'

export type Answered = { ok: true; status: Status; again: boolean } | { ok: false; reason: Reason }

/**
 * One approver's answer, judged by the tenant's policies here and by the escalation's own rules in its object. `shown`
 * names what they saw: where that is no longer so, they have to look again before they approve.
 */
export const answer = async (
  stub: DurableObjectStub<EscalationObject>,
  state: EscalationState,
  approver: { uid: EntityUid; name: string; signedIn: boolean },
  { shown, ...given }: Pick<VoteCall, 'vote' | 'reason' | 'scope' | 'shown'>,
  reading: Reading,
): Promise<Answered> => {
  const { bundle, now } = reading
  const groups = groupsOfApprover(approver.uid, bundle)
  if (!state.open.barred.includes(approver.name) && groups.length === 0) return { ok: false, reason: 'not_an_approver' }
  if (given.vote === 'approve' && !mayApprove(approver.uid, state.open, bundle, now))
    return { ok: false, reason: 'approver_refused' }
  const { bound, digest } = await sightOf(state.open, reading)
  // A refusal covers whatever there is; an approval only what was seen.
  const answered = state.votes.some(vote => vote.approver === approver.name)
  if (given.vote === 'approve' && !answered && shown !== undefined && shown !== digest)
    return { ok: false, reason: 'facts_changed' }
  const reply = await stub.vote({
    v: 1,
    approver: approver.name,
    groups,
    signedIn: approver.signedIn,
    at: now,
    ...(shown !== undefined && { shown }),
    ...(bound.length > 0 && { facts: bound }),
    ...given,
  })
  return reply.kind === 'taken'
    ? { ok: true, status: reply.status, again: reply.again }
    : { ok: false, reason: reply.reason }
}

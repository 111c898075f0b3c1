import type { EntityUid } from '../cedar/json.ts'
import type { Reason } from '../decision/reasons.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { groupsOfApprover, mayApprove } from './approver.ts'
import type { EscalationState, Status, VoteCall } from './call.ts'
import type { EscalationObject } from './object.ts'

export type Answered = { ok: true; status: Status; again: boolean } | { ok: false; reason: Reason }

/** One approver's answer, judged by the tenant's policies here and by the escalation's own rules in its object. */
export const answer = async (
  stub: DurableObjectStub<EscalationObject>,
  state: EscalationState,
  approver: { uid: EntityUid; name: string; signedIn: boolean },
  given: Pick<VoteCall, 'vote' | 'reason' | 'scope'>,
  { bundle, now }: { bundle: LoadedBundle; now: number },
): Promise<Answered> => {
  const groups = groupsOfApprover(approver.uid, bundle)
  if (!state.open.barred.includes(approver.name) && groups.length === 0) return { ok: false, reason: 'not_an_approver' }
  if (given.vote === 'approve' && !mayApprove(approver.uid, state.open, bundle, now))
    return { ok: false, reason: 'approver_refused' }
  const reply = await stub.vote({
    v: 1,
    approver: approver.name,
    groups,
    signedIn: approver.signedIn,
    at: now,
    ...given,
  })
  return reply.kind === 'taken'
    ? { ok: true, status: reply.status, again: reply.again }
    : { ok: false, reason: reply.reason }
}

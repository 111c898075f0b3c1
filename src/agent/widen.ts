import { approvalFor } from './approvals.ts'
import type { WidenCall, WidenReply } from './calls/delegate.ts'
import { append } from './chain.ts'
import { admitted } from './delegate.ts'
import { REASONS } from './resolutions.ts'
import { hintUntil, openRequest, putStepUp, tooManyWait } from './step-ups.ts'

/**
 * A delegation of more than there is to hand on: what humans said to just that, or the task by which they are asked. The
 * first time it is a denial on record like any decision's that humans may lift. One request has one answer: once that has
 * come, the same request is told of it, however often it is made.
 */
export const widen = (storage: DurableObjectStorage, chain: string, call: WidenCall, clock: () => number): WidenReply =>
  storage.transactionSync(() => {
    const agent = admitted(storage, chain, call, clock)
    if ('kind' in agent) return agent
    const { self, now } = agent
    const { terms } = call
    const asked = askedBefore(storage, terms.actionHash)
    if (asked?.approval) {
      const found = approvalFor(storage, { approval: asked.approval, binding: terms, forbids: terms.forbids }, now)
      return 'kind' in found ? found : { kind: 'approved', approval: asked.approval }
    }
    if (asked?.ended) {
      const { status } = asked
      return { kind: 'refused', reason: status === 'approved' ? 'approval_expired' : REASONS[status ?? 'denied'] }
    }
    if (asked) return { kind: 'pending', task: asked.task, id: asked.evaluation_id }

    if (tooManyWait(storage)) return { kind: 'refused', reason: 'too_many_requests', retryAfter: 60 }
    const { body, secrets } = call
    const { seq } = append(storage, self, { kind: 'delegation', at: now, body, secrets }, clock)
    putStepUp(storage, call.id, { ...terms, expiresAt: hintUntil(now) }, seq)
    const opened = openRequest(storage, { v: 1, evaluationId: call.id, at: now })
    if (opened.kind !== 'open') throw new Error(`a request that was just put here is ${opened.kind}`)
    return { kind: 'pending', task: opened.task, id: call.id }
  })

type Asked = {
  evaluation_id: string
  task: string
  approval: string | null
  ended: number
  status: 'approved' | keyof typeof REASONS | null
}

const askedBefore = ({ sql }: DurableObjectStorage, actionHash: string): Asked | undefined =>
  sql
    .exec<Asked>(
      `SELECT evaluation_id, step_up.task, approval.id AS approval, resolution.task IS NOT NULL AS ended, status
       FROM step_up LEFT JOIN resolution ON resolution.task = step_up.task LEFT JOIN approval ON approval.task = step_up.task
       WHERE step_up.task IS NOT NULL AND json_extract(terms, '$.actionHash') = ?`,
      actionHash,
    )
    .toArray()[0]

import { randomBytes } from 'node:crypto'
import { commitmentsOf, type Secret } from '../audit/receipt.ts'
import { keepApproval } from './approvals.ts'
import type { ForgetCall, ResolveCall, ResolveReply } from './calls/approvals.ts'
import { append } from './chain.ts'
import { openSelf } from './self.ts'

/**
 * Takes in what became of a request for approval: its receipt joins the chain, and an approval is kept. An escalation's
 * outbox may deliver it again; the second time changes nothing.
 */
export const resolve = (
  storage: DurableObjectStorage,
  chain: string,
  call: ResolveCall,
  clock: () => number,
): ResolveReply =>
  storage.transactionSync(() => {
    const { sql } = storage
    const self = openSelf(storage, { tenant: call.tenant, chain, agent: call.agent })
    if (self.fork) return { kind: 'chain_fork' }
    const earlier = sql.exec('SELECT 1 FROM resolution WHERE task = ?', call.task).toArray()
    if (earlier.length > 0) return { kind: 'taken' }
    const clear = call.secrets ? {} : saidIn(call)
    const commitments = call.secrets?.commitments ?? commitmentsOf(clear)
    const secrets = call.secrets?.sealed ?? clear
    const body = {
      agent: call.agent,
      escalation: {
        task: call.task,
        evaluation_id: call.evaluationId,
        status: call.status,
        ...(call.status !== 'approved' && { outcome: 'deny', reason: REASONS[call.status] }),
        forbids: call.forbids.map(({ policy, textHash }) => ({ policy, text_hash: textHash })),
        ...(call.approval && {
          approval: call.approval.id,
          until: call.approval.until,
          uses: call.approval.uses,
          ...(call.approval.scope && { scope: call.approval.scope }),
        }),
      },
      ...commitments,
    }
    append(storage, self, { kind: 'escalation', at: Math.max(call.at, self.head?.at ?? 0), body, secrets }, clock)
    sql.exec('INSERT INTO resolution (task, until, status) VALUES (?, ?, ?)', call.task, call.at + KEEP_MS, call.status)
    if (call.approval) keepApproval(storage, call.approval)
    // What was asked for is on record as far as it must be, and with whoever was asked.
    sql.exec(
      "UPDATE step_up SET terms = json_remove(json_set(terms, '$.intent.arguments', json('{}')), '$.facts') WHERE evaluation_id = ?",
      call.evaluationId,
    )
    // The wait has ended, so the answer that began it is no longer the answer to a retry (rule 3).
    sql.exec('DELETE FROM reply WHERE seq = (SELECT seq FROM step_up WHERE evaluation_id = ?)', call.evaluationId)
    return { kind: 'taken' }
  })

/** What humans said of a request: each committed to by the receipt of its end. */
export const saidIn = (call: Pick<ResolveCall, 'requester' | 'answers' | 'withdrawn'>): Record<string, Secret> => ({
  caller: secret(call.requester),
  ...(call.answers.length > 0 && { answers: secret(call.answers) }),
  ...(call.withdrawn && { withdrawn: secret(call.withdrawn) }),
})

/** Takes what is kept here of a request that was erased. An approval of it is gone with that; the chain still verifies. */
export const forget = (storage: DurableObjectStorage, { evaluationId, task }: ForgetCall): void =>
  storage.transactionSync(() => {
    const { sql } = storage
    sql.exec('DELETE FROM reply WHERE seq = (SELECT seq FROM step_up WHERE evaluation_id = ?)', evaluationId)
    sql.exec('DELETE FROM step_up WHERE evaluation_id = ?', evaluationId)
    sql.exec('DELETE FROM approval WHERE task = ?', task)
    sql.exec("UPDATE receipt SET secrets = '{}' WHERE kind = 'escalation' AND body ->> '$.escalation.task' = ?", task)
  })

/** Ends an approval before its time. */
export const revoke = (storage: DurableObjectStorage, approval: string): { revoked: boolean } => {
  const { rowsWritten } = storage.sql.exec('UPDATE approval SET revoked = 1 WHERE id = ? AND revoked = 0', approval)
  return { revoked: rowsWritten > 0 }
}

/** Why what was asked for is denied. */
export const REASONS = {
  denied: 'approval_denied',
  expired: 'approval_timeout',
  cancelled: 'approval_cancelled',
} as const

/** Longer than an escalation tries to deliver. */
const KEEP_MS = 40 * 86_400_000

const secret = (value: unknown): Secret => ({ salt: randomBytes(16).toString('base64url'), value })

import { commitment } from '../audit/receipt.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { Lineage } from '../identity/lineage.ts'
import type { RedeemCall, RedeemReply } from './calls/outcomes.ts'
import { append } from './chain.ts'
import { isKilled } from './kills.ts'
import { findPending } from './pending.ts'
import { receiptAt } from './receipts.ts'
import { freeReservations } from './reservations.ts'
import { isTaken } from './revocations.ts'
import { readSelf } from './self.ts'
import { secret } from './standing.ts'

/** Uses a permit of a redeem-only action, once. A stopped agent's is refused, whenever it was given. */
export const redeem = (storage: DurableObjectStorage, call: RedeemCall, clock: () => number): RedeemReply =>
  storage.transactionSync(() => {
    const self = readSelf(storage)
    const permit = find(storage, call.evaluationId)
    const first = permit && receiptAt(storage, permit.seq)
    if (!self || self.fork || !permit || !first) return { kind: 'not_found' }
    if (self.suspended) return { kind: 'suspended' }
    if (permit.lineage !== null && isTaken(storage, JSON.parse(permit.lineage))) return { kind: 'revoked' }
    if (isKilled(storage, call.epoch, JSON.parse(permit.targets))) return { kind: 'killed' }
    if (permit.redeemed_at !== null) return { kind: 'redeemed', at: permit.redeemed_at }
    // what a trusted word has settled isn't done after all: it may have freed what was reserved for it
    const said = findPending(storage, call.evaluationId)
    if (said?.outcome && !said.claim) return { kind: 'settled', outcome: said.outcome }
    const now = Math.max(call.at, self.head?.at ?? 0)
    if (now >= permit.expires_at) return { kind: 'lapsed' }
    storage.sql.exec('UPDATE redeemable SET redeemed_at = ? WHERE evaluation_id = ?', now, call.evaluationId)
    const secrets = { caller: secret(call.by) }
    const of = { evaluation_id: call.evaluationId, seq: first.seq, hash: first.hash }
    const body = { agent: self.agent, of, caller: commitment(secrets.caller) }
    const { seq, hash } = append(storage, self, { kind: 'redemption', at: now, body, secrets }, clock)
    return { kind: 'taken', at: now, receipt: { seq, hash } }
  })

/** Notes a permit that must be redeemed, in the transaction of its decision. */
export const keepRedeemable = (
  storage: DurableObjectStorage,
  permit: {
    evaluationId: string
    seq: number
    targets: readonly string[]
    lineage: Lineage | undefined
    expiresAt: number
  },
): void => {
  storage.sql.exec(
    'INSERT INTO redeemable (evaluation_id, seq, targets, lineage, expires_at) VALUES (?, ?, ?, ?, ?)',
    permit.evaluationId,
    permit.seq,
    JSON.stringify(permit.targets),
    permit.lineage ? JSON.stringify(permit.lineage) : null,
    permit.expiresAt,
  )
  plan(storage, 'lapse', permit.evaluationId, permit.expiresAt + GRACE_MS)
}

/** A redemption carries the time of its Worker, which may be a little behind. */
const GRACE_MS = 10_000

/** What was never redeemed was never done: what it had reserved comes free, on record. */
export const lapsing = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: evaluationId =>
    storage.transactionSync(() => {
      const permit = find(storage, evaluationId)
      const self = readSelf(storage)
      if (!permit || !self || self.fork) return
      storage.sql.exec('DELETE FROM redeemable WHERE evaluation_id = ?', evaluationId)
      if (permit.redeemed_at !== null) return
      const freed = freeReservations(storage, evaluationId, clock())
      storage.sql.exec('DELETE FROM pending WHERE evaluation_id = ? AND outcome IS NULL', evaluationId)
      const of = { evaluation_id: evaluationId, seq: permit.seq }
      const body = { agent: self.agent, of, ...(freed > 0 && { freed }) }
      append(storage, self, { kind: 'lapse', at: Math.max(clock(), self.head?.at ?? 0), body, secrets: {} }, clock)
    }),
  next: () => undefined,
})

type Row = { seq: number; targets: string; lineage: string | null; expires_at: number; redeemed_at: number | null }

const find = ({ sql }: DurableObjectStorage, evaluationId: string): Row | undefined =>
  sql
    .exec<Row>(
      'SELECT seq, targets, lineage, expires_at, redeemed_at FROM redeemable WHERE evaluation_id = ?',
      evaluationId,
    )
    .toArray()[0]

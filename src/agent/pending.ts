import type { DecisionRecord, StoredReceipt } from '../audit/receipt.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { Charge } from '../settle/room.ts'
import type { DecideItem } from './calls/decide.ts'
import type { Reported } from './calls/outcomes.ts'
import { append } from './chain.ts'
import { readSelf } from './self.ts'

/** A decision of which something is still awaited. */
export type Pending = {
  evaluationId: string
  /** Of its receipt, which may be gone by now. */
  seq: number
  hash: string
  reportBy: number | undefined
  overdue: boolean
  outcome: Reported | undefined
  /** The outcome is the agent's word alone. */
  claim: boolean
  /** Of the receipt of that report. */
  reportedSeq: number | undefined
}

/** How long a report is taken after the permit has lapsed, where policy sets no time; milliseconds. */
const KEEP_MS = 86_400_000

/** Keeps what an outcome will bear on: reservations of budgets and the duty to report. */
export const keepPending = (
  storage: DurableObjectStorage,
  item: DecideItem,
  receipt: StoredReceipt,
  { expires_at = receipt.at, duties }: DecisionRecord,
  charges: readonly Charge[],
  clock: () => number,
): void => {
  const reportBy = duties?.report_by
  // until then a report may still say that nothing was done; after it, what was reserved is spent
  const until = Math.max(expires_at, reportBy ?? 0)
  const reserved = charges.flatMap(charge => (charge.kind === 'window' && charge.meter.budget ? [charge] : []))
  for (const { meter, start } of reserved) {
    storage.sql.exec(
      'INSERT INTO reservation (evaluation_id, key, start, amount, until) VALUES (?, ?, ?, ?, ?)',
      item.evaluationId,
      meter.key,
      start,
      meter.cost,
      until,
    )
  }
  const shares = charges.some(charge => charge.kind === 'lease')
  // what came from leases was noted when it was spent
  if (shares)
    storage.sql.exec('UPDATE reservation SET until = ? WHERE evaluation_id = ? AND until = 0', until, item.evaluationId)
  if (reserved.length === 0 && !shares && reportBy === undefined) return
  storage.sql.exec(
    'INSERT INTO pending (evaluation_id, seq, hash, action_hash, report_by, until) VALUES (?, ?, ?, ?, ?, ?)',
    item.evaluationId,
    receipt.seq,
    receipt.hash,
    item.intent ?? item.actionHash,
    reportBy ?? null,
    // what must be reported is awaited until it is
    reportBy === undefined ? until + KEEP_MS : null,
  )
  if (reportBy !== undefined) plan(storage, 'report', item.evaluationId, Math.max(reportBy, clock()))
}

export const findPending = ({ sql }: DurableObjectStorage, evaluationId: string): Pending | undefined => {
  const [row] = sql.exec<Row>(
    'SELECT seq, hash, report_by, overdue, outcome, claim, reported_seq FROM pending WHERE evaluation_id = ?',
    evaluationId,
  )
  return (
    row && {
      evaluationId,
      seq: row.seq,
      hash: row.hash,
      reportBy: row.report_by ?? undefined,
      overdue: row.overdue === 1,
      outcome: row.outcome ?? undefined,
      claim: row.claim === 1,
      reportedSeq: row.reported_seq ?? undefined,
    }
  )
}

type Row = {
  seq: number
  hash: string
  report_by: number | null
  overdue: number
  outcome: Reported | null
  claim: number | null
  reported_seq: number | null
}

/**
 * The decisions of the same intent that were carried out with an outcome that nobody knows. Those from before intents had
 * names of their own go by that of their action.
 */
export const unknownOf = (
  { sql }: DurableObjectStorage,
  { intent, actionHash }: Pick<DecideItem, 'intent' | 'actionHash'>,
): string[] =>
  sql
    .exec<{ id: string }>(
      "SELECT evaluation_id AS id FROM pending WHERE action_hash IN (?, ?) AND outcome = 'unknown'",
      intent ?? actionHash,
      actionHash,
    )
    .toArray()
    .map(({ id }) => id)

/** How many reports are overdue. */
export const overdueReports = ({ sql }: DurableObjectStorage): number =>
  sql.exec<{ count: number }>('SELECT count(*) AS count FROM pending WHERE overdue = 1').one().count

/** Marks the agent whose report hasn't come, on its chain. */
export const reminding = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: evaluationId => {
    storage.transactionSync(() => {
      const pending = findPending(storage, evaluationId)
      const self = readSelf(storage)
      if (!pending || !self || self.fork || pending.outcome || pending.overdue) return
      storage.sql.exec('UPDATE pending SET overdue = 1 WHERE evaluation_id = ?', evaluationId)
      const of = { evaluation_id: evaluationId, seq: pending.seq, hash: pending.hash }
      append(
        storage,
        self,
        { kind: 'overdue', at: Math.max(clock(), self.head?.at ?? 0), body: { agent: self.agent, of }, secrets: {} },
        clock,
      )
    })
  },
  next: () => undefined,
})

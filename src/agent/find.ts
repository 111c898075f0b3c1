import type { DecisionRecord, StoredReceipt } from '../audit/receipt.ts'
import { receiptsAfter } from './receipts.ts'

/**
 * The decision of an evaluation, found by the time in its id: receipts are in the order of their times, and have no
 * index by evaluation, which every allow would pay for.
 */
export const findDecision = (
  storage: DurableObjectStorage,
  evaluationId: string,
): { decision: DecisionRecord; receipt: StoredReceipt } | undefined => {
  const made = Number.parseInt(evaluationId.slice(0, 8) + evaluationId.slice(9, 13), 16)
  if (Number.isNaN(made)) return undefined
  for (let seq = firstSince(storage, made - APART_MS) - 1; ; ) {
    const receipts = receiptsAfter(storage, seq, 100)
    for (const receipt of receipts) {
      if (receipt.kind !== 'decision' || !receipt.body.includes(evaluationId)) continue
      const { decision }: { decision: DecisionRecord } = JSON.parse(receipt.body)
      if (decision.evaluation_id === evaluationId) return { decision, receipt }
    }
    const last = receipts.at(-1)
    if (!last || last.at > made + APART_MS) return undefined
    seq = last.seq
  }
}

/** How far the clocks that made an evaluation's id and its receipt may be apart, in milliseconds. */
const APART_MS = 60_000

/** The seq of the first receipt that isn't older than `at`. */
const firstSince = ({ sql }: DurableObjectStorage, at: number): number => {
  const ends = sql
    .exec<{ low: number | null; high: number | null }>('SELECT min(seq) AS low, max(seq) AS high FROM receipt')
    .one()
  let [low, high] = [ends.low ?? 1, (ends.high ?? 0) + 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [receipt] = sql.exec<{ at: number }>('SELECT at FROM receipt WHERE seq = ?', middle)
    if ((receipt?.at ?? 0) < at) low = middle + 1
    else high = middle
  }
  return low
}

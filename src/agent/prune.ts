import { type Handler, plan } from '../durable/due.ts'
import { oldest } from './receipts.ts'
import { readSelf } from './self.ts'

/** D1 can be restored to any minute of 30 days; receipts stay here for longer, so that they can be sent again. */
const KEEP_MS = 35 * 86_400_000
/** So many rows at a time, and how long until the next: an object's thread belongs to decisions. */
const ROWS = 10_000
const PAUSE_MS = 20_000

export const planPrune = (storage: DurableObjectStorage): void => {
  const first = oldest(storage)
  if (first) plan(storage, 'prune', '', first.at + KEEP_MS)
}

/** Removes what D1 has held for long. The head stays: the next receipt links to it. */
export const pruning = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: () => {
    const self = readSelf(storage)
    // a contradicted chain is evidence
    if (!self?.head || self.fork) return
    storage.sql.exec(
      'DELETE FROM receipt WHERE seq IN (SELECT seq FROM receipt WHERE seq <= ? AND at < ? ORDER BY seq LIMIT ?)',
      Math.min(self.flushed, self.head.seq - 1),
      clock() - KEEP_MS,
      ROWS,
    )
  },
  next: () => {
    const self = readSelf(storage)
    const first = oldest(storage)
    // what isn't flushed plans the next pruning itself, when it is
    if (!first || first.seq === self?.head?.seq || first.seq > (self?.flushed ?? 0)) return undefined
    return Math.max(first.at + KEEP_MS, clock() + PAUSE_MS)
  },
})

import { type Entry, nextReceipt, type StoredReceipt } from '../audit/receipt.ts'
import { planFlush } from './outbox.ts'
import type { Self } from './self.ts'

/** Links a receipt to the head that `self` was read with, in the same transaction. */
export const append = (
  storage: DurableObjectStorage,
  self: Pick<Self, 'chain' | 'head' | 'flushed'>,
  entry: Entry & { intent?: string },
  clock: () => number,
): StoredReceipt => {
  const receipt = nextReceipt(self.chain, self.head, entry)
  const { seq, hash, prev, kind, at, bodyCommit, body, secrets } = receipt
  storage.sql.exec(
    `INSERT INTO receipt (seq, hash, prev, kind, at, body_commit, body, secrets, intent)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    seq,
    hash,
    prev,
    kind,
    at,
    bodyCommit,
    body,
    secrets,
    entry.intent ?? null,
  )
  // where older receipts wait, the flush is planned already
  if (seq === self.flushed + 1) planFlush(storage, clock())
  return receipt
}

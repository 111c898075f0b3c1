import { type DecisionRecord, isSealed, type Secrets, type SecretsText } from '../audit/receipt.ts'
import { claimsIn } from '../facts/written.ts'
import type { Decided, DecideItem } from './calls/decide.ts'
import { decidedOf } from './decided.ts'
import { receiptAt } from './receipts.ts'

/**
 * Answers by idempotency key (rule 3). A row only points to the receipt, which says all that was answered.
 */

/** How long an answer is kept, in milliseconds; longer where its permit lives longer. */
const KEEP_MS = 10 * 60_000

export const findReply = (
  storage: DurableObjectStorage,
  key: string,
  now: number,
): { requestHash: string; decided: Decided } | undefined => {
  const [row] = storage.sql.exec<{ request_hash: string; seq: number }>(
    'SELECT request_hash, seq FROM reply WHERE key = ? AND until > ?',
    key,
    now,
  )
  const receipt = row && receiptAt(storage, row.seq)
  if (!receipt) return undefined
  const { decision }: { decision: DecisionRecord } = JSON.parse(receipt.body)
  return {
    requestHash: row.request_hash,
    decided: { ...decidedOf(receipt, decision), ...(FACTS.test(receipt.body) && claimsKept(receipt.secrets)) },
  }
}

const claimsKept = (text: SecretsText): Pick<Decided, 'claims' | 'sealedFacts'> => {
  const secrets: Secrets = JSON.parse(text)
  if (secrets.facts && isSealed(secrets.facts)) return { sealedFacts: secrets.facts }
  const claims = claimsIn(secrets)
  return claims.length > 0 ? { claims } : {}
}

/** Whether the body commits to facts and claims: most don't, and then no more has to be parsed. */
const FACTS = /"facts":"/

/** Keeps what was decided for the item's key, if it came with one. */
export const keepReply = (storage: DurableObjectStorage, item: DecideItem, decided: Decided): void => {
  if (!item.idempotency) return
  // what waits for a human or a fact may soon be answered otherwise, so it is kept no longer than a permit
  const waits = decided.outcome === 'step_up' || decided.outcome === 'defer'
  storage.sql.exec(
    'INSERT OR REPLACE INTO reply (key, request_hash, seq, until) VALUES (?, ?, ?, ?)',
    item.idempotency.key,
    item.idempotency.requestHash,
    decided.receipt.seq,
    decided.at + (waits ? item.permitMs : Math.max(item.permitMs, KEEP_MS)),
  )
}

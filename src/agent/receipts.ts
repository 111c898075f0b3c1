import type { DecisionRecord, StoredReceipt } from '../audit/receipt.ts'
import type { OutPermit } from './calls/standing.ts'

/** Receipts after `after`, oldest first. */
export const receiptsAfter = ({ sql }: DurableObjectStorage, after: number, limit: number): StoredReceipt[] =>
  sql.exec<StoredReceipt>(`${SELECT} WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit).toArray()

/** The receipt at `seq`; gone once it was pruned. */
export const receiptAt = ({ sql }: DurableObjectStorage, seq: number): StoredReceipt | undefined =>
  sql.exec<StoredReceipt>(`${SELECT} WHERE seq = ?`, seq).toArray()[0]

/** The name of what a decision permitted, where its receipt doesn't say that. */
export const intentAt = ({ sql }: DurableObjectStorage, seq: number): string | undefined =>
  sql.exec<{ intent: string | null }>('SELECT intent FROM receipt WHERE seq = ?', seq).toArray()[0]?.intent ?? undefined

/** A decision's receipt that D1 may not have yet: there it would be found by its evaluation. */
export const unflushedDecision = ({ sql }: DurableObjectStorage, evaluationId: string): StoredReceipt | undefined =>
  sql
    .exec<StoredReceipt>(
      `${SELECT} WHERE seq > (SELECT flushed FROM self) AND kind = 'decision'
       AND json_extract(body, '$.decision.evaluation_id') = ?`,
      evaluationId,
    )
    .toArray()[0]

/** The oldest receipt that is still here. */
export const oldest = ({ sql }: DurableObjectStorage): { seq: number; at: number } | undefined =>
  sql.exec<{ seq: number; at: number }>('SELECT seq, at FROM receipt ORDER BY seq LIMIT 1').toArray()[0]

/** Permits that haven't lapsed yet, the newest first; of the last thousand receipts. */
export const permitsOut = ({ sql }: DurableObjectStorage, now: number): OutPermit[] =>
  sql
    .exec<{ kind: string; body: string }>('SELECT kind, body FROM receipt ORDER BY seq DESC LIMIT 1000')
    .toArray()
    .flatMap(({ kind, body }) => {
      const { decision }: { decision?: DecisionRecord } = kind === 'decision' ? JSON.parse(body) : {}
      const expiresAt = decision?.expires_at
      return decision && expiresAt !== undefined && expiresAt > now
        ? [{ evaluationId: decision.evaluation_id, expiresAt }]
        : []
    })

const SELECT = 'SELECT seq, hash, prev, kind, at, body_commit AS bodyCommit, body, secrets FROM receipt'

import { and, desc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import * as v from 'valibot'
import type { Receipt } from './receipt.ts'
import { receipts } from './tables.ts'

/** A receipt on record, with whose it is. */
export type Recorded = Receipt & { tenant: string; agent: string | null }

export type Page = {
  receipts: Recorded[]
  /** Where the next page begins; absent on the last one. */
  next?: string
}

export type Filter = { agent?: string; outcome?: string }

/** The receipt of one decision. */
export const receiptOf = async (
  db: D1Database,
  tenant: string,
  evaluationId: string,
): Promise<Recorded | undefined> => {
  const [row] = await drizzle(db)
    .select()
    .from(receipts)
    .where(and(eq(receipts.evaluationId, evaluationId), eq(receipts.tenant, tenant)))
  return row && recorded(row)
}

/** A tenant's receipts, newest first. `undefined` where the cursor isn't one of ours. */
export const receiptsOf = async (
  db: D1Database,
  tenant: string,
  { agent, outcome }: Filter,
  { cursor, limit }: { cursor?: string; limit: number },
): Promise<Page | undefined> => {
  const before = cursor === undefined ? undefined : readCursor(cursor)
  if (cursor !== undefined && !before) return undefined
  const rows = await drizzle(db)
    .select()
    .from(receipts)
    .where(
      and(
        eq(receipts.tenant, tenant),
        agent === undefined ? undefined : eq(receipts.agent, agent),
        outcome === undefined ? undefined : eq(receipts.outcome, outcome),
        before && sql`(${receipts.at}, ${receipts.id}) < (${before[0]}, ${before[1]})`,
      ),
    )
    .orderBy(desc(receipts.at), desc(receipts.id))
    .limit(limit + 1)
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    receipts: page.map(recorded),
    ...(last && rows.length > limit && { next: writeCursor([last.at, last.id]) }),
  }
}

const recorded = (row: typeof receipts.$inferSelect): Recorded => {
  const { tenant, agent, chain, seq, prev, kind, at, bodyCommit, hash } = row
  return {
    v: 1,
    chain,
    seq,
    prev,
    kind,
    at,
    bodyCommit,
    hash,
    body: JSON.parse(row.body),
    secrets: JSON.parse(row.secrets),
    tenant,
    agent,
  }
}

/** The `at` and `id` of a page's last receipt. */
const Cursor = v.tuple([v.pipe(v.number(), v.integer()), v.pipe(v.number(), v.integer())])

const writeCursor = (last: v.InferOutput<typeof Cursor>): string => btoa(JSON.stringify(last)).replace(/=+$/, '')

const readCursor = (text: string): v.InferOutput<typeof Cursor> | undefined => {
  try {
    const read = v.safeParse(Cursor, JSON.parse(atob(text)))
    return read.success ? read.output : undefined
  } catch {
    return undefined
  }
}

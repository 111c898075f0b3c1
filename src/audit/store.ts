import { and, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import * as v from 'valibot'
import type { Receipt } from './receipt.ts'
import { receiptPolicies, receipts } from './tables.ts'

/** A receipt on record, with whose it is. */
export type Recorded = Receipt & { tenant: string; agent: string | null }

export type Page = {
  /** Fewer than asked for, even none, where several conditions had to be looked through. */
  receipts: Recorded[]
  /** Where the next page begins; absent on the last one. */
  next?: string
}

/** All of them must hold. Entities as Cedar writes their UIDs; times in milliseconds, `until` excluded. */
export type Filter = {
  policy?: string
  resource?: string
  user?: string
  agent?: string
  reason?: string
  action?: string
  outcome?: string
  since?: number
  until?: number
}

/**
 * How many receipts are looked through for one page where an index answers only one of several conditions. A page costs
 * no more than this, however rare what is looked for may be: it ends early, and its cursor goes on.
 */
export const LOOK_THROUGH = 2_000

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
  filter: Filter,
  { cursor, limit }: { cursor?: string; limit: number },
): Promise<Page | undefined> => {
  const before = cursor === undefined ? undefined : readCursor(cursor)
  if (cursor !== undefined && !before) return undefined
  const { index, rest } = conditionsOf(filter)
  const within = windowOf(tenant, filter, index, before)
  // what an index doesn't answer is looked for in a bounded window of what it does
  const end = rest.length > 0 ? await endOf(db, within) : undefined
  const among = and(...rest, end && sql`(${within.at}, ${within.id}) >= (${end[0]}, ${end[1]})`)
  const rows = await within.rows(db, among, limit + 1)
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  const next = rows.length > limit && last ? ([last.at, last.id] satisfies Place) : end
  return { receipts: page.map(recorded), ...(next && { next: writeCursor(next) }) }
}

/** The `at` and `id` of a receipt. */
type Place = [at: number, id: number]

/** The condition that leads: the first of these by which fewest receipts are likely to be left. */
const leads = ['policy', 'resource', 'user', 'agent', 'reason', 'action', 'outcome'] as const
type Lead = (typeof leads)[number]

const conditionsOf = (filter: Filter): { index: Lead | undefined; rest: SQL[] } => {
  const given = leads.filter(name => filter[name] !== undefined)
  const [index, ...others] = given
  // the plus keeps SQLite from taking another index than the one that leads
  const rest = others.flatMap(name => (name === 'policy' ? [] : [sql`+${receipts[name]} = ${filter[name]}`]))
  return { index, rest }
}

/** The receipts of a tenant that the leading condition and the times leave, in the order of one index. */
const windowOf = (tenant: string, filter: Filter, index: Lead | undefined, before: Place | undefined) => {
  const byPolicy = index === 'policy'
  const table = byPolicy ? receiptPolicies : receipts
  const id = byPolicy ? receiptPolicies.receipt : receipts.id
  const { at } = table
  const leading = byPolicy
    ? eq(receiptPolicies.policy, filter.policy ?? '')
    : index && eq(receipts[index], filter[index] ?? '')
  const where = and(
    eq(table.tenant, tenant),
    leading,
    filter.since === undefined ? undefined : gte(at, filter.since),
    filter.until === undefined ? undefined : lt(at, filter.until),
    before && sql`(${at}, ${id}) < (${before[0]}, ${before[1]})`,
  )
  return {
    at,
    id,
    /** Whole receipts that `rest` leaves too. */
    rows: async (db: D1Database, rest: SQL | undefined, most: number) => {
      const all = drizzle(db).select({ receipt: receipts }).from(receipts)
      const joined = byPolicy ? all.innerJoin(receiptPolicies, eq(receipts.id, receiptPolicies.receipt)) : all
      const found = await joined.where(and(where, rest)).orderBy(desc(at), desc(id)).limit(most)
      return found.map(({ receipt }) => receipt)
    },
    /** The receipt at which looking through ends, where there are so many. */
    end: (db: D1Database) =>
      drizzle(db)
        .select({ at, id })
        .from(table)
        .where(where)
        .orderBy(desc(at), desc(id))
        .limit(1)
        .offset(LOOK_THROUGH - 1),
  }
}

const endOf = async (db: D1Database, within: ReturnType<typeof windowOf>): Promise<Place | undefined> => {
  const [end] = await within.end(db)
  return end && [end.at, end.id]
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

const Cursor = v.tuple([v.pipe(v.number(), v.integer()), v.pipe(v.number(), v.integer())])

const writeCursor = (last: Place): string => btoa(JSON.stringify(last)).replace(/=+$/, '')

const readCursor = (text: string): Place | undefined => {
  try {
    const read = v.safeParse(Cursor, JSON.parse(atob(text)))
    return read.success ? read.output : undefined
  } catch {
    return undefined
  }
}

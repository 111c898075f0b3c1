import { and, desc, eq, getTableColumns, gt, gte, lt, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import * as v from 'valibot'
import type { Receipt } from './receipt.ts'
import { receiptPolicies, receipts } from './tables.ts'

/** A receipt on record, with whose it is. */
export type Recorded = Receipt & {
  tenant: string
  agent: string | null
  /** Its content is no JSON: verify the record. */
  damaged?: true
}

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
export const LOOK_THROUGH = 1_000

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
  const [rows, end] =
    rest.length === 0 ? [await within.rows(db, limit + 1)] : await within.lookThrough(db, and(...rest), limit + 1)
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  const next = rows.length > limit && last ? ([last.at, last.id] satisfies Place) : end
  return { receipts: page.map(recorded), ...(next && { next: writeCursor(next) }) }
}

/** The `at` and `id` of a receipt. */
type Place = [at: number, id: number]
type Row = typeof receipts.$inferSelect

/** The condition that leads: the first of these by which fewest receipts are likely to be left. */
const leads = ['policy', 'resource', 'user', 'agent', 'reason', 'action', 'outcome'] as const
type Lead = (typeof leads)[number]

const conditionsOf = (filter: Filter): { index: Lead | undefined; rest: SQL[] } => {
  const given = leads.filter(name => filter[name] !== undefined)
  const [index, ...others] = given
  const rest = others.flatMap(name => (name === 'policy' ? [] : [eq(receipts[name], filter[name] ?? '')]))
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
  const order = [desc(at), desc(id)]
  const places = (db: D1Database) =>
    drizzle(db)
      .select({ at, id })
      .from(table)
      .where(where)
      .orderBy(...order)
  return {
    /** Whole receipts, in the order of the index. */
    rows: (db: D1Database, most: number) => {
      const columns = drizzle(db).select(getTableColumns(receipts))
      const all = byPolicy
        ? columns.from(receiptPolicies).innerJoin(receipts, eq(receipts.id, receiptPolicies.receipt))
        : columns.from(receipts)
      return all
        .where(where)
        .orderBy(...order)
        .limit(most)
    },
    /** Those of the next receipts that `rest` leaves too, and where looking through ended before the last. */
    lookThrough: async (db: D1Database, rest: SQL | undefined, most: number): Promise<[Row[], Place | undefined]> => {
      const window = places(db).limit(LOOK_THROUGH).as('looked_through')
      const rows = drizzle(db)
        .select(getTableColumns(receipts))
        .from(window)
        .innerJoin(receipts, eq(receipts.id, window.id))
        .where(rest)
        .orderBy(desc(window.at), desc(window.id))
        .limit(most)
      const end = places(db)
        .limit(1)
        .offset(LOOK_THROUGH - 1)
      const [found, [last]] = await Promise.all([rows, end])
      return [found, last && [last.at, last.id]]
    },
  }
}

/** Empties what an erased subject could be found by. What was stored of them lies under a key that is gone. */
export const forget = async (db: D1Database, tenant: string, subject: string): Promise<void> => {
  await db.batch(
    (['user', 'resource'] as const).map(column =>
      db.prepare(`UPDATE receipts SET ${column} = NULL WHERE tenant = ? AND ${column} = ?`).bind(tenant, subject),
    ),
  )
}

/** Chains that have receipts since a time, as far as D1 has heard. */
export const recentChains = async (db: D1Database, tenant: string, since: number, most: number): Promise<string[]> => {
  const rows = await drizzle(db)
    .selectDistinct({ chain: receipts.chain })
    .from(receipts)
    .where(and(eq(receipts.tenant, tenant), gt(receipts.at, since)))
    .limit(most)
  return rows.map(({ chain }) => chain)
}

const recorded = (row: Row): Recorded => {
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
    body: {},
    secrets: {},
    ...parsed(row),
    tenant,
    agent,
  }
}

/** A row that somebody bent must not hide the others. */
const parsed = ({ body, secrets }: { body: string; secrets: string }): Partial<Recorded> => {
  try {
    return { body: JSON.parse(body), secrets: JSON.parse(secrets) }
  } catch {
    return { damaged: true }
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

import { and, desc, eq, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { facts } from './tables.ts'

/** A fact as the ledger holds it. */
export type Row = typeof facts.$inferSelect

/** A fact about to be recorded. */
export type Entry = Omit<typeof facts.$inferInsert, 'n' | 'recordedAt'>

/** What to look for: what each of these sources said last. */
export type Want = { entity: string; predicate: string }

/**
 * Each source's latest word on each thing that is wanted, as it was known at `asOf`, and how far the ledger went then: one
 * transaction. Read on the primary: a replica could be behind a fact that was acknowledged.
 */
export const latestOf = async (
  db: D1Database,
  tenant: string,
  wants: readonly Want[],
  sources: readonly string[],
  asOf: number,
): Promise<{ rows: Row[]; head: number }> => {
  const wanted = wants.flatMap(({ entity, predicate }) => sources.map(source => [entity, predicate, source]))
  const session = db.withSession('first-primary')
  const [latest, head] = await session.batch<Row>([
    session.prepare(LATEST).bind(tenant, JSON.stringify(wanted), asOf),
    session.prepare('SELECT max(n) AS n FROM facts'),
  ])
  return { rows: latest?.results ?? [], head: head?.results[0]?.n ?? 0 }
}

/** What became of an entry: written now, there already, or another content under the same name. */
export type Recorded = { id: string; hash: string; status: 'recorded' | 'known' | 'conflict' }

/**
 * Adds to the ledger, and says what stands there now. Entries that are there already are left as they are; of one that
 * would take the place of a fact which isn't there, `undefined`. One transaction of three statements with few parameters:
 * D1 binds at most 100.
 */
export const record = async (
  db: D1Database,
  entries: readonly Entry[],
  now: number,
): Promise<(Recorded | undefined)[]> => {
  if (entries.length === 0) return []
  const rows = entries.map(entry => [
    entry.tenant,
    entry.id,
    entry.hash,
    entry.source,
    entry.entity,
    entry.predicate,
    entry.value,
    entry.observedAt,
    entry.validUntil,
    entry.evidence ?? null,
    entry.supersedes ?? null,
    now,
  ])
  const ids = JSON.stringify(entries.map(({ tenant, id }) => [tenant, id]))
  const session = db.withSession('first-primary')
  const [before, , after] = await session.batch<Pick<Row, 'id' | 'hash' | 'supersedes'>>([
    session.prepare(FOUND).bind(ids),
    session.prepare(INSERT).bind(JSON.stringify(rows)),
    session.prepare(FOUND).bind(ids),
  ])
  const known = new Set(before?.results.map(({ id }) => id))
  const stored = new Map(after?.results.map(row => [row.id, row]))
  return entries.map(({ id, hash, supersedes = null }) => {
    const stands = stored.get(id)
    if (!stands) return undefined
    if (stands.hash !== hash || stands.supersedes !== supersedes) return { id, hash, status: 'conflict' }
    const status = known.has(id) ? 'known' : 'recorded'
    known.add(id)
    return { id, hash, status }
  })
}

/** Facts by their ids. */
export const factsOf = async (db: D1Database, tenant: string, ids: readonly string[]): Promise<Row[]> =>
  ids.length === 0
    ? []
    : drizzle(db)
        .select()
        .from(facts)
        .where(and(eq(facts.tenant, tenant), sql`${facts.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`))

/** What the ledger knew of an entity at `asOf`, the latest arrival first. */
export const historyOf = async (
  db: D1Database,
  tenant: string,
  of: { entity: string; predicate?: string; source?: string; asOf: number; before?: number },
  limit: number,
): Promise<Row[]> =>
  drizzle(db)
    .select()
    .from(facts)
    .where(
      and(
        eq(facts.tenant, tenant),
        eq(facts.entity, of.entity),
        of.predicate === undefined ? undefined : eq(facts.predicate, of.predicate),
        of.source === undefined ? undefined : eq(facts.source, of.source),
        lte(facts.recordedAt, of.asOf),
        of.before === undefined ? undefined : lt(facts.n, of.before),
      ),
    )
    .orderBy(desc(facts.n))
    .limit(limit)

const COLUMNS = `tenant, id, hash, source, entity, predicate, value, observed_at, valid_until, evidence, supersedes, recorded_at`

/** Only a source itself takes back what it said. */
const LATEST = `
  SELECT f.n, f.tenant, f.id, f.hash, f.source, f.entity, f.predicate, f.value, f.observed_at AS observedAt,
    f.valid_until AS validUntil, f.evidence, f.supersedes, f.recorded_at AS recordedAt
  FROM json_each(?2) AS want JOIN facts AS f ON f.n = (
    SELECT n FROM facts AS one
    WHERE tenant = ?1 AND entity = want.value->>0 AND predicate = want.value->>1 AND source = want.value->>2
      AND recorded_at <= ?3
      AND NOT EXISTS (
        SELECT 1 FROM facts AS next WHERE next.tenant = ?1 AND next.supersedes = one.id AND next.source = one.source
          AND next.entity = one.entity AND next.predicate = one.predicate AND next.recorded_at <= ?3
      )
    ORDER BY observed_at DESC, n DESC LIMIT 1
  )`

/** What takes the place of nothing is not written: whoever corrects a thing relies on its being taken back. */
const INSERT = `
  INSERT INTO facts (${COLUMNS})
  SELECT ${COLUMNS.split(',')
    .map((_, index) => `sent.value->>${index}`)
    .join(', ')} FROM json_each(?1) AS sent
  WHERE sent.value->>10 IS NULL OR EXISTS (
    SELECT 1 FROM facts AS earlier WHERE earlier.tenant = sent.value->>0 AND earlier.id = sent.value->>10
      AND earlier.source = sent.value->>3 AND earlier.entity = sent.value->>4 AND earlier.predicate = sent.value->>5
  )
  ON CONFLICT DO NOTHING`

const FOUND = `
  SELECT facts.id, facts.hash, facts.supersedes FROM json_each(?1) AS sent
  JOIN facts ON facts.tenant = sent.value->>0 AND facts.id = sent.value->>1`

import { sql } from 'drizzle-orm'
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

/**
 * The ledger: what sources of record said. Rows are only ever added, and say when a thing held as well as since when we
 * have known it, so that what was believed at any time can be told later.
 */
export const facts = sqliteTable(
  'facts',
  {
    /** The order of arrival. */
    n: integer().primaryKey(),
    tenant: text().notNull(),
    /** Of tenant, source and the name that the source gave it, so a batch that comes twice is written once. */
    id: text().notNull(),
    /** Of what it says. */
    hash: text().notNull(),
    source: text().notNull(),
    /** The entity as Cedar writes it: `Order::"o-1"`. */
    entity: text().notNull(),
    predicate: text().notNull(),
    /** JSON, as the source wrote it. */
    value: text().notNull(),
    /** Milliseconds, as all times here. */
    observedAt: integer('observed_at').notNull(),
    validUntil: integer('valid_until').notNull(),
    evidence: text(),
    /** The id of an earlier fact of the same source that this one takes the place of. */
    supersedes: text(),
    recordedAt: integer('recorded_at').notNull(),
  },
  table => [
    uniqueIndex('facts_by_id').on(table.tenant, table.id),
    // SQLite ends it in `n`, so the latest word of a source is the last of its range
    index('facts_by_entity').on(table.tenant, table.entity, table.predicate, table.source, table.observedAt),
    index('facts_by_superseded').on(table.tenant, table.supersedes).where(sql`supersedes IS NOT NULL`),
  ],
)

/** Deferred decisions by what they wait for: where a new fact finds whom to wake. */
export const factWaits = sqliteTable(
  'fact_waits',
  {
    tenant: text().notNull(),
    entity: text().notNull(),
    predicate: text().notNull(),
    evaluationId: text('evaluation_id').notNull(),
    /** The name of the agent's object. */
    object: text().notNull(),
    /** Milliseconds. */
    until: integer().notNull(),
  },
  table => [
    primaryKey({ columns: [table.tenant, table.entity, table.predicate, table.evaluationId] }),
    index('fact_waits_by_evaluation').on(table.tenant, table.evaluationId),
    index('fact_waits_by_time').on(table.until),
  ],
)

/** Permitted decisions whose outcome a fact will tell: where that fact finds them. */
export const outcomeWaits = sqliteTable(
  'outcome_waits',
  {
    tenant: text().notNull(),
    entity: text().notNull(),
    predicate: text().notNull(),
    evaluationId: text('evaluation_id').notNull(),
    action: text().notNull(),
    /** The name of the agent's object, and the decision's place on its chain. */
    object: text().notNull(),
    seq: integer().notNull(),
    /** Milliseconds: only what was observed since counts. */
    decidedAt: integer('decided_at').notNull(),
    until: integer().notNull(),
  },
  table => [
    primaryKey({ columns: [table.tenant, table.entity, table.predicate, table.evaluationId] }),
    index('outcome_waits_by_time').on(table.until),
  ],
)

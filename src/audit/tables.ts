import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { ReceiptKind } from './receipt.ts'

/**
 * Receipts as D1 keeps them. `hash` to `body` are what the chain proves and are never changed. `secrets` and the columns
 * below it are copies to search by: an erasure empties them, and the chain still verifies.
 */
export const receipts = sqliteTable(
  'receipts',
  {
    /** The order of arrival, which breaks ties of time: SQLite's own row id, so it takes no room. */
    id: integer().primaryKey(),
    chain: text().notNull(),
    seq: integer().notNull(),
    tenant: text().notNull(),
    hash: text().notNull(),
    prev: text().notNull(),
    kind: text().notNull().$type<ReceiptKind>(),
    /** Milliseconds. */
    at: integer().notNull(),
    bodyCommit: text('body_commit').notNull(),
    /** The JSON text that `bodyCommit` is the hash of. */
    body: text().notNull(),
    secrets: text().notNull(),
    agent: text(),
    evaluationId: text('evaluation_id'),
    caller: text(),
    user: text(),
    action: text(),
    resource: text(),
    outcome: text(),
    reason: text(),
  },
  table => [
    uniqueIndex('receipts_by_link').on(table.chain, table.seq),
    uniqueIndex('receipts_by_evaluation').on(table.evaluationId),
    // SQLite ends each in the row's id, so a page is read in order
    index('receipts_by_time').on(table.tenant, table.at),
    index('receipts_by_agent').on(table.tenant, table.agent, table.at),
    index('receipts_by_user').on(table.tenant, table.user, table.at),
    index('receipts_by_action').on(table.tenant, table.action, table.at),
    index('receipts_by_resource').on(table.tenant, table.resource, table.at),
    index('receipts_by_outcome').on(table.tenant, table.outcome, table.at),
    index('receipts_by_reason').on(table.tenant, table.reason, table.at),
  ],
)

/** Bundles of the log whose receipts are in the bucket, and when those were made. */
export const archivedBundles = sqliteTable(
  'archived',
  {
    tenant: text().notNull(),
    n: integer().notNull(),
    fromAt: integer('from_at').notNull(),
    toAt: integer('to_at').notNull(),
  },
  table => [
    primaryKey({ columns: [table.tenant, table.n] }),
    index('archived_by_time').on(table.tenant, table.fromAt, table.toAt),
  ],
)

/** Which policies decided: a row for each of a receipt's, in the order in which its pages are read. */
export const receiptPolicies = sqliteTable(
  'receipt_policies',
  {
    tenant: text().notNull(),
    policy: text().notNull(),
    at: integer().notNull(),
    receipt: integer().notNull(),
  },
  table => [primaryKey({ columns: [table.tenant, table.policy, table.at, table.receipt] })],
)

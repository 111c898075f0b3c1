import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Delivery, Status } from './call.ts'

/** Escalations as D1 lists them: a copy, written by their objects, which alone know. */
export const escalations = sqliteTable(
  'escalations',
  {
    task: text().primaryKey(),
    tenant: text().notNull(),
    /** Counts the object's changes: an older copy never replaces a newer one. */
    version: integer().notNull(),
    status: text().notNull().$type<Status>(),
    evaluationId: text('evaluation_id').notNull(),
    agent: text().notNull(),
    user: text(),
    action: text().notNull(),
    resource: text().notNull(),
    /** Approver groups that are asked, as a JSON array. */
    groups: text().notNull(),
    /** Requests that may be answered together have one. */
    like: text().notNull(),
    /** Milliseconds. */
    openedAt: integer('opened_at').notNull(),
    expiresAt: integer('expires_at').notNull(),
    decidedAt: integer('decided_at'),
    standing: integer({ mode: 'boolean' }).notNull(),
  },
  table => [
    index('escalations_by_status').on(table.tenant, table.status, table.openedAt),
    index('escalations_by_agent').on(table.tenant, table.agent, table.action, table.openedAt),
    index('escalations_by_user').on(table.tenant, table.user),
    index('escalations_by_resource').on(table.tenant, table.resource),
  ],
)

/** Messages to webhooks as D1 lists them. */
export const deliveries = sqliteTable(
  'deliveries',
  {
    id: text().primaryKey(),
    tenant: text().notNull(),
    task: text().notNull(),
    webhook: text().notNull(),
    event: text().notNull().$type<Delivery['event']>(),
    status: text().notNull().$type<Delivery['status']>(),
    attempts: integer().notNull(),
    error: text(),
    at: integer().notNull(),
  },
  table => [index('deliveries_by_status').on(table.tenant, table.status, table.at)],
)

/** Which request an Idempotency-Key of the access-request endpoint stands for. */
export const requestKeys = sqliteTable(
  'request_keys',
  {
    /** Hash of tenant, requester and key. */
    key: text().primaryKey(),
    bodyHash: text('body_hash').notNull(),
    /** What a bundle that came with it is called. */
    task: text().notNull().default(''),
    until: integer().notNull(),
  },
  table => [index('request_keys_by_until').on(table.until)],
)

/** Requests that were sent as one. What became of each is known to its own object. */
export const bundles = sqliteTable('bundles', {
  task: text().primaryKey(),
  tenant: text().notNull(),
  /** The tasks of its items, as a JSON array in their order. */
  items: text().notNull(),
  at: integer().notNull(),
})

/** Secrets of webhooks, sealed under the key-encryption key. */
export const webhookSecrets = sqliteTable(
  'webhook_secrets',
  {
    tenant: text().notNull(),
    webhook: text().notNull(),
    id: text().notNull(),
    sealed: text().notNull(),
    createdAt: integer('created_at').notNull(),
    /** Set once another has taken over. */
    expiresAt: integer('expires_at'),
  },
  table => [primaryKey({ columns: [table.tenant, table.webhook, table.id] })],
)

import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Who handed what on to whom, by the tokens that the Worker minted: what is taken away is looked up here. */
export const delegations = sqliteTable(
  'delegations',
  {
    tenant: text().notNull(),
    /** The token's `jti`. */
    id: text().notNull(),
    /** The delegation that it comes from; absent where it began with a token of another issuer. */
    parent: text(),
    /** Entities as Cedar writes them. */
    agent: text().notNull(),
    /** Or what stands for the user, where the tenant marks users as personal. */
    user: text(),
    /** JSON: who the user is, as receipts keep what may be personal. */
    secrets: text().notNull().default('{}'),
    /** The name of the agent's object. */
    holder: text().notNull(),
    /** JSON array: every key by which it can be taken away; the user's as `user` has it. */
    lineage: text().notNull(),
    /** JSON: the grants, as `authorization_details`. */
    grants: text().notNull(),
    jkt: text().notNull(),
    /** Milliseconds. */
    issuedAt: integer('issued_at').notNull(),
    expiresAt: integer('expires_at').notNull(),
  },
  table => [
    primaryKey({ columns: [table.tenant, table.id] }),
    index('delegations_by_expiry').on(table.tenant, table.expiresAt),
  ],
)

/** What was taken away: entities and delegations, by the keys that lineages name, or what stands for those. */
export const revocations = sqliteTable(
  'revocations',
  {
    tenant: text().notNull(),
    key: text().notNull(),
    /** Milliseconds: only what was issued until then. Absent: all of it. */
    before: integer(),
    /** Of that, what security events took away: it stays when an admin gives back what an admin took. */
    eventBefore: integer('event_before'),
    at: integer().notNull(),
    by: text().notNull(),
    reason: text().notNull(),
  },
  table => [primaryKey({ columns: [table.tenant, table.key] })],
)

import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Which bundle was made active when: the history that a push adds to, if no other push was first at that `seq`. */
export const activations = sqliteTable(
  'activations',
  {
    tenant: text().notNull(),
    seq: integer().notNull(),
    hash: text().notNull(),
    /** ISO 8601, as the pointer has it. */
    pushedAt: text('pushed_at').notNull(),
    pushedBy: text('pushed_by').notNull(),
    note: text(),
  },
  table => [primaryKey({ columns: [table.tenant, table.seq] })],
)

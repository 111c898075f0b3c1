import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/**
 * The key of each person, or other subject, whose data a tenant stores; without it they are gone. Who that is doesn't
 * stand here: `subject` is a keyed hash, and the row with an empty one holds the key of that hash.
 */
export const subjectKeys = sqliteTable(
  'subject_keys',
  {
    tenant: text().notNull(),
    subject: text().notNull(),
    /** Under the key-encryption key. */
    sealed: text().notNull(),
    /** Milliseconds. */
    at: integer().notNull(),
  },
  table => [primaryKey({ columns: [table.tenant, table.subject] })],
)

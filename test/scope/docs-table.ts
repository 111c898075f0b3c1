import { getTableColumns } from 'drizzle-orm'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Columns } from '../../src/sdk/scope/index.ts'

/** The generated documents as a table of SQLite. */
export const table = sqliteTable('docs', {
  id: text().primaryKey(),
  status: text(),
  note: text(),
  total: integer(),
  paid: integer(),
  open: integer({ mode: 'boolean' }),
  due: integer({ mode: 'timestamp_ms' }),
  hold: integer(),
  owner: text(),
  team: text(),
  flags: text({ mode: 'json' }),
  sizes: text({ mode: 'json' }),
  readers: text({ mode: 'json' }),
  city: text(),
  zip: integer(),
})

/** An address has always a city. */
export const columns: Columns = {
  ...getTableColumns(table),
  address: table.city,
  'address.city': table.city,
  'address.zip': table.zip,
}

export const CREATE =
  'CREATE TABLE docs (id TEXT, status TEXT, note TEXT, total INTEGER, paid INTEGER, open INTEGER, due INTEGER, hold INTEGER, owner TEXT, team TEXT, flags TEXT, sizes TEXT, readers TEXT, city TEXT, zip INTEGER)'

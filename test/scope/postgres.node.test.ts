import { PGlite } from '@electric-sql/pglite'
import { getTableColumns } from 'drizzle-orm'
import { bigint, boolean, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/pg-proxy'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Filter, postgresWhere } from '../../src/sdk/scope/index.ts'
import { judge } from './filters.ts'
import { bundleOf, dice, docs, isWhole } from './generate.ts'

/** So many comparisons of a filter with a decision on one row. */
const COMPARISONS = Number(process.env.TEST_FILTERS ?? '5000')
const ROWS = 50

const table = pgTable('docs', {
  id: text().primaryKey(),
  status: text(),
  note: text(),
  total: bigint({ mode: 'bigint' }),
  paid: bigint({ mode: 'number' }),
  open: boolean(),
  due: timestamp({ withTimezone: true }),
  hold: bigint({ mode: 'number' }),
  owner: text(),
  team: text(),
  flags: text().array(),
  sizes: jsonb(),
  readers: text().array(),
  city: text(),
  zip: bigint({ mode: 'number' }),
})
const columns = { ...getTableColumns(table), address: table.city, 'address.city': table.city, 'address.zip': table.zip }

let client: PGlite
const db = drizzle(async (sql, params) => client.query(sql, params, { rowMode: 'array' }))
const rows = docs(dice(11), ROWS)
beforeAll(async () => {
  client = await PGlite.create()
  await client.exec(
    `CREATE TABLE docs (id TEXT PRIMARY KEY, status TEXT, note TEXT, total BIGINT, paid BIGINT, open BOOLEAN, due TIMESTAMPTZ,
     hold BIGINT, owner TEXT, team TEXT, flags TEXT[], sizes JSONB, readers TEXT[], city TEXT, zip BIGINT)`,
  )
  await db.insert(table).values(rows.map(row => ({ ...row, total: row.total === null ? null : BigInt(row.total) })))
})
afterAll(() => client.close())

const found = async (filter: Filter): Promise<string[]> => {
  return (await db.select({ id: table.id }).from(table).where(postgresWhere(filter, columns))).map(({ id }) => id)
}

it(`a filter holds for the rows that would be allowed one by one: ${COMPARISONS.toLocaleString('en')} in PostgreSQL`, async () => {
  let filters = 0
  for (let seed = 0; filters * ROWS < COMPARISONS; seed++) {
    const of = dice(seed)
    const { filter: scoped, decision } = judge(bundleOf(of), of.pick(['ann', 'bob', 'cid']), {
      amount: of.pick([0, 5, 100]),
      word: of.pick(['open', 'lost']),
    })
    if (!scoped) continue
    filters++
    const allowed = rows.filter(decision).map(({ id }) => id)
    const held = await found(scoped.filter)
    expect(allowed, `seed ${seed}`).toEqual(expect.arrayContaining(held))
    if (scoped.exact) {
      const due = rows.filter(row => isWhole(row) && allowed.includes(row.id)).map(({ id }) => id)
      expect(held, `seed ${seed}`).toEqual(expect.arrayContaining(due))
    }
  }
})

it('an attribute without a column is told', () => {
  const filter: Filter = { scope: 'when', condition: { op: 'has', attribute: { path: ['weight'], type: 'long' } } }
  expect(() => postgresWhere(filter, columns)).toThrow('no column holds the attribute weight')
})

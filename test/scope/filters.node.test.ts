import { DatabaseSync } from 'node:sqlite'
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Filter, predicate, sqliteWhere } from '../../src/sdk/scope/index.ts'
import { CREATE, columns } from './docs-table.ts'
import { judge } from './filters.ts'
import { bundleOf, type Doc, dice, docs, isWhole } from './generate.ts'

/** So many comparisons of a filter with a decision on one row, in each store. */
const COMPARISONS = Number(process.env.TEST_FILTERS ?? '5000')
const ROWS = 50

const dialect = new SQLiteSyncDialect()
let db: DatabaseSync
const rows = docs(dice(11), ROWS)
beforeAll(() => {
  db = new DatabaseSync(':memory:')
  db.exec(CREATE)
  const insert = db.prepare(`INSERT INTO docs VALUES (${Array(15).fill('?').join(', ')})`)
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value))
  for (const d of rows)
    insert.run(
      ...[d.id, d.status, d.note, d.total, d.paid, d.open === null ? null : Number(d.open), d.due?.getTime() ?? null],
      ...[d.hold, d.owner, d.team, json(d.flags), json(d.sizes), json(d.readers), d.city, d.zip],
    )
})

const fromSqlite = (filter: Filter): string[] => {
  const { sql, params } = dialect.sqlToQuery(sqliteWhere(filter, columns))
  if (params.length > 100) throw new Error(`${params.length} parameters: more than D1 binds`)
  const found = db.prepare(`SELECT id FROM docs WHERE ${sql} ORDER BY rowid`).all(...(params as (string | number)[]))
  return found.map(row => String(row.id))
}

const fromMemory = (filter: Filter): string[] => {
  const holds = predicate(filter)
  const held = ({ city, zip, ...doc }: Doc) => ({ ...doc, address: city === null ? null : { city, zip } })
  return rows.filter(doc => holds(held(doc))).map(({ id }) => id)
}

describe('a filter holds for the rows that would be allowed one by one', () => {
  const whole = rows.filter(isWhole).map(({ id }) => id)

  it(`${COMPARISONS.toLocaleString('en')} generated comparisons, in SQLite and in memory`, () => {
    const counts = { filters: 0, exact: 0, always: 0, never: 0, large: 0, allowed: 0 }
    for (let seed = 0; counts.filters * ROWS < COMPARISONS; seed++) {
      const of = dice(seed)
      const { filter: scoped, decision } = judge(bundleOf(of), of.pick(['ann', 'bob', 'cid']), {
        amount: of.pick([0, 5, 100]),
        word: of.pick(['open', 'lost']),
      })
      if (!scoped) {
        counts.large++
        continue
      }
      counts.filters++
      const { filter, exact } = scoped
      const allowed = rows.filter(decision).map(({ id }) => id)
      counts.allowed += allowed.length
      counts.exact += Number(exact)
      if (filter.scope !== 'when') counts[filter.scope]++
      for (const found of [fromSqlite(filter), fromMemory(filter)]) {
        const more = found.filter(id => !allowed.includes(id))
        const fewer = whole.filter(id => allowed.includes(id) && !found.includes(id))
        if (more.length > 0 || (exact && fewer.length > 0)) {
          throw new Error(`seed ${seed}: ${JSON.stringify({ more, fewer, exact, filter }, null, 1)}`)
        }
      }
    }
    console.info(counts)
    // The generator makes filters of every kind, and most of them say all.
    expect(counts.exact).toBeGreaterThan(counts.filters / 2)
    expect(counts.always).toBeGreaterThan(0)
    expect(counts.never).toBeGreaterThan(0)
    expect(counts.filters - counts.always - counts.never).toBeGreaterThan(counts.filters / 10)
  })
})

import { env } from 'cloudflare:workers'
import { beforeAll, expect, it } from 'vitest'
import { type Filter, LOOK_THROUGH, receiptOf, receiptsOf } from '../../src/audit/store.ts'

/** Receipts in one tenant's record, and as many again in another's. `npm run test:record` brings a million. */
const COUNT = Number(env.TEST_RECEIPTS)
const AT = Date.UTC(2026, 10, 1)
const TENANT = 'many'

/** Made where they are stored; as real ones in what is searched, and without the weight of bodies. */
const fill = (tenant: string, from: number, to: number) =>
  env.DB.batch([
    env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT CAST(?2 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?3)
       INSERT INTO receipts (chain, seq, tenant, hash, prev, kind, at, body_commit, body, secrets, agent,
         evaluation_id, caller, user, action, resource, outcome, reason)
       SELECT ?1 || (i % 50), i / 50 + 1, ?1, 'h' || i, 'p', 'decision', ${AT} + i * 10, 'c',
         json_object('decision', json_object('policies', json_array('policy-' || (i % 20)))), '{}',
         'Agent::"' || (i % 50) || '"', ?1 || '-' || i, 'caller', 'User::"' || (i % 1000) || '"', 'action-' || (i % 10),
         'Order::"' || (i % 20000) || '"', CASE i % 4 WHEN 0 THEN 'deny' ELSE 'allow' END,
         CASE i % 4 WHEN 0 THEN CASE i % 400 WHEN 0 THEN 'rate_limited' ELSE 'forbidden' END ELSE 'permitted' END
       FROM n`,
    ).bind(tenant, from, to),
    env.DB.prepare(
      `INSERT INTO receipt_policies (tenant, policy, at, receipt)
       SELECT tenant, policies.value, at, receipts.id FROM receipts, json_each(body, '$.decision.policies') AS policies
       WHERE tenant = ?1 AND at >= ${AT} + ?2 * 10`,
    ).bind(tenant, from),
  ])

beforeAll(async () => {
  const step = 20_000
  for (let from = 0; from < COUNT; from += step) {
    await fill(TENANT, from, Math.min(COUNT, from + step))
    await fill('others', from, Math.min(COUNT, from + step))
  }
}, 1_800_000)

type Spent = { plans: string[]; rows: number }

/** Runs `read` and says what each of its statements did: how SQLite went about it, and how many rows it read. */
const spentOn = async (read: (db: D1Database) => Promise<unknown>): Promise<Spent> => {
  const spent: Spent = { plans: [], rows: 0 }
  const watched = (statement: D1PreparedStatement, sql: string, values: unknown[]): D1PreparedStatement =>
    new Proxy(statement, {
      get: (target, name) => {
        if (name === 'bind') return (...given: unknown[]) => watched(target.bind(...given), sql, given)
        const member = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        if (name !== 'raw' && name !== 'all') return member.bind(target)
        return async (...options: unknown[]) => {
          const plan = await env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`)
            .bind(...values)
            .all<{ detail: string }>()
          spent.plans.push(plan.results.map(({ detail }) => detail).join('; '))
          spent.rows += (await target.all()).meta.rows_read
          return member.apply(target, options)
        }
      },
    })
  const db = new Proxy(env.DB, {
    get: (target, name) => {
      if (name === 'prepare') return (sql: string) => watched(target.prepare(sql), sql, [])
      const member = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  await read(db)
  return spent
}

const LIMIT = 50
const DAY = { since: AT + COUNT * 4, until: AT + COUNT * 5 }

it.each<[string, Filter, string]>([
  ['the newest', {}, 'receipts_by_time'],
  ['one agent', { agent: 'Agent::"7"' }, 'receipts_by_agent'],
  ['one user', { user: 'User::"70"' }, 'receipts_by_user'],
  ['one action', { action: 'action-3' }, 'receipts_by_action'],
  ['one resource', { resource: 'Order::"12"' }, 'receipts_by_resource'],
  ['one outcome', { outcome: 'deny' }, 'receipts_by_outcome'],
  ['one reason', { reason: 'rate_limited' }, 'receipts_by_reason'],
  ['one policy', { policy: 'policy-4' }, 'sqlite_autoindex_receipt_policies_1'],
  ['a span of time', DAY, 'receipts_by_time'],
  ["an agent's denials", { agent: 'Agent::"8"', outcome: 'deny' }, 'receipts_by_agent'],
  [
    "a policy's denials in a span of time",
    { policy: 'policy-4', outcome: 'deny', ...DAY },
    'sqlite_autoindex_receipt_policies_1',
  ],
  ['what there is none of', { agent: 'Agent::"7"', outcome: 'defer' }, 'receipts_by_agent'],
])('%s: one index, one page’s work', async (_, filter, index) => {
  const cursor = btoa(JSON.stringify([AT + COUNT * 9, 1]))
  const lookedThrough = 'outcome' in filter && Object.keys(filter).length > 1
  for (const from of [{}, { cursor }]) {
    let found = 0
    const { plans, rows } = await spentOn(async db => {
      found = (await receiptsOf(db, TENANT, filter, { limit: LIMIT, ...from }))?.receipts.length ?? 0
    })
    for (const plan of plans) {
      expect(plan).toMatch(new RegExp(`SEARCH \\w+ USING (COVERING )?INDEX ${index} `))
      // what is looked through is sorted again, since it is a subquery: no more than that
      expect(plan).not.toMatch(lookedThrough ? /SCAN (?!looked_through)/ : /SCAN|TEMP B-TREE/)
    }
    if (lookedThrough) expect(rows).toBeLessThanOrEqual(3 * LOOK_THROUGH + 2 * LIMIT)
    else expect(rows).toBeLessThanOrEqual(2 * (LIMIT + 1))
    if (filter.outcome !== 'defer') expect(found).toBeGreaterThan(0)
  }
})

it('one decision by its id', async () => {
  const { plans, rows } = await spentOn(db => receiptOf(db, TENANT, `${TENANT}-777`))
  expect(plans[0]).toContain('USING INDEX receipts_by_evaluation')
  expect(rows).toBeLessThanOrEqual(2)
})

it('finds all there is of something rare, though a page may be short', async () => {
  const found: string[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const filter = { action: 'action-0', reason: 'rate_limited' }
    const page = await receiptsOf(env.DB, TENANT, filter, { limit: 7, ...(cursor !== undefined && { cursor }) })
    found.push(...(page?.receipts.map(({ hash }) => hash) ?? []))
    cursor = page?.next
    pages++
  } while (cursor !== undefined && pages < 100)
  const expected = Array.from({ length: Math.ceil(COUNT / 400) }, (_, index) => `h${index * 400}`).reverse()
  expect(found).toEqual(expected.slice(0, found.length))
  if (pages < 100) expect(found).toHaveLength(expected.length)
})

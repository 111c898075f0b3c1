import { env } from 'cloudflare:workers'
import { getTableColumns } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { beforeEach, describe, expect, it } from 'vitest'
import { contentHash } from '../../src/durable/hash.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { type Filter, predicate, sqliteWhere } from '../../src/sdk/scope/index.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { asking, createWorld, problemIn, type Sending, type World } from '../http/world.ts'
import { CREATE, columns, table } from './docs-table.ts'
import { judge } from './filters.ts'
import { bundleOf, dice, docs, isWhole } from './generate.ts'

let world: World
let pep: string
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  pep = await world.pepToken()
  token = await world.agentToken()
})

type Answer = Filter & {
  exact: boolean
  exp: number
  seq: number
  context: { scope_id?: string; recorded: boolean; reason?: string; problems?: unknown[]; inexact?: string[] }
}
const query = (name = 'read', more: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name },
  resource: { type: 'Order' },
  ...more,
})
const scope = async (asked: unknown, sending: Sending = { token }): Promise<Answer> => {
  const response = await world.post('/v1/scope', asked, sending)
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return response.json()
}

const orders = sqliteTable('shop_orders', { id: text().primaryKey(), status: text() })
const ROWS = [null, 'open', 'closed', 'lost'].map((status, n) => ({ id: `o${n}`, status }))
const rowsOf = async (filter: Filter): Promise<string[]> => {
  await env.DB.exec('CREATE TABLE IF NOT EXISTS shop_orders (id TEXT PRIMARY KEY, status TEXT)')
  const db = drizzle(env.DB)
  await db.insert(orders).values(ROWS).onConflictDoNothing()
  const found = await db
    .select()
    .from(orders)
    .where(sqliteWhere(filter, getTableColumns(orders)))
  return found.map(({ id }) => id)
}

describe('rows that the filter lets through are those that one by one are allowed', () => {
  it.each(['read', 'export', 'sweep', 'burst', 'ping', 'fly', 'refund'])('%s, over HTTP and in D1', async name => {
    const asked = query(name, name === 'refund' ? { action: { name, properties: { amount: 5 } } } : {})
    const { exact, ...filter } = await scope(asked, { token: pep })
    const allowed: string[] = []
    for (const { id, status } of ROWS) {
      const resource = { type: 'Order', id, ...(status !== null && { properties: { status } }) }
      const { decision } = await world.evaluate(asking(name, { ...asked, resource }), { token: pep })
      if (decision) allowed.push(id)
    }
    // Limits that a filter can't count let nothing through: a permit's, and a forbid's for each resource.
    const expected = name === 'burst' || name === 'ping' ? [] : allowed
    expect(await rowsOf(filter)).toEqual(expected)
    expect(ROWS.filter(predicate(filter)).map(({ id }) => id)).toEqual(expected)
    expect(exact).toBe(true)
  })

  it('generated policies, in D1', async () => {
    await env.DB.exec(CREATE)
    const db = drizzle(env.DB)
    const rows = docs(dice(5), 40)
    for (const row of rows) await db.insert(table).values(row)
    for (let seed = 100_000; seed < 100_060; seed++) {
      const of = dice(seed)
      const judged = judge(bundleOf(of), of.pick(['ann', 'bob', 'cid']), { amount: 5, word: 'open' })
      if (!judged.filter) continue
      const { filter, exact } = judged.filter
      const found = (await db.select({ id: table.id }).from(table).where(sqliteWhere(filter, columns))).map(
        ({ id }) => id,
      )
      const allowed = rows.filter(judged.decision).map(({ id }) => id)
      expect(allowed, `seed ${seed}`).toEqual(expect.arrayContaining(found))
      if (exact) {
        const due = rows.filter(row => isWhole(row) && allowed.includes(row.id)).map(({ id }) => id)
        expect(found, `seed ${seed}`).toEqual(expect.arrayContaining(due))
      }
    }
  })
})

describe('a scope', () => {
  it('is a tree over attributes, for a minute, of one activation', async () => {
    const answer = await scope(query())
    expect(answer).toMatchObject({
      scope: 'when',
      condition: {
        op: 'or',
        of: [{ op: 'lacks' }, { op: 'ne', attribute: { path: ['status'], type: 'string' }, value: 'closed' }],
      },
      exact: true,
      seq: 1,
      context: { recorded: true },
    })
    expect(answer.exp * 1000 - clock.now()).toBeGreaterThan(50_000)
    expect(answer.exp * 1000 - clock.now()).toBeLessThanOrEqual(60_000)
  })

  it('for a user needs both', async () => {
    const own = await world.agentToken('clerk', { user: { type: 'User', id: 'ned' } })
    const refund = { action: { name: 'refund', properties: { amount: 5 } } }
    expect((await scope(query('refund', refund), { token: own })).scope).toBe('never')
    expect((await scope(query('refund', refund))).scope).toBe('always')
  })

  it('goes through the agent’s object: suspended, nothing', async () => {
    const admin = await world.token({ sub: 'root', roles: ['admin'] })
    await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'odd' }, { token: admin })
    expect(await scope(query())).toMatchObject({ scope: 'never', context: { reason: 'suspended', recorded: true } })
  })

  it('in one call, without KV or D1 once warm, and leaves a receipt with its hash', async () => {
    const isolate = createIsolate()
    await scope(query(), { token, send: isolate.send })
    isolate.uses()
    const { context, ...answer } = await scope(query(), { token, send: isolate.send })
    expect(isolate.uses()).toEqual(['object scope'])
    const receipt = (await world.receipts()).at(-1)
    expect(receipt?.kind).toBe('scope')
    const { exact: _, exp: __, seq: ___, ...filter } = answer
    expect(JSON.parse(receipt?.body ?? '')).toMatchObject({
      scope: { id: context.scope_id, result_hash: contentHash(filter) },
    })
  })

  it('counts as one use of the limits that forbid beyond, and is nothing once they are used up', async () => {
    world = await createWorld({ change: limited })
    const own = await world.agentToken()
    expect((await scope(query(), { token: own })).scope).toBe('when')
    expect((await world.evaluate(asking('read'), { token: own })).decision).toBe(true)
    expect((await scope(query(), { token: own })).scope).toBe('never')
    expect((await world.evaluate(asking('read'), { token: own })).context.reason).toBe('rate_limited')
  })

  it('says which policies it could not say, to whom may know', async () => {
    world = await createWorld({ change: unsayable })
    const told = await scope(query('sweep'), { token: await world.pepToken() })
    expect(told).toMatchObject({ scope: 'never', exact: false, context: { inexact: ['sum'] } })
    const untold = await scope(query('sweep'), { token: await world.agentToken() })
    expect(untold.context).not.toHaveProperty('inexact')
  })

  it.each([
    ['an unknown action', 'unknown_action', query('fly')],
    ['an unknown type', 'schema_mismatch', query('read', { resource: { type: 'Spaceship' } })],
    ['arguments that do not fit', 'schema_mismatch', query('refund')],
  ])('of %s is never, and says why', async (_, reason, asked) => {
    expect(await scope(asked)).toMatchObject({ scope: 'never', context: { reason, recorded: true } })
  })

  it('an agent asks for itself alone', async () => {
    const response = await world.post('/v1/scope', query('read', { subject: { type: 'Agent', id: 'helper' } }), {
      token,
    })
    expect(await problemIn(response)).toMatchObject({ status: 403, reason: 'subject_mismatch' })
  })

  it('larger than a store takes is refused', async () => {
    world = await createWorld({ change: sprawling })
    const response = await world.post('/v1/scope', query(), { token: await world.agentToken() })
    expect(await problemIn(response)).toMatchObject({ status: 422, reason: 'filter_too_large' })
  })

  it.each([
    ['/subject', { ...query(), subject: undefined }],
    ['/resource/type', query('read', { resource: {} })],
    ['/action/name', query('read', { action: {} })],
    ['/context', query('read', { context: [] })],
  ])('that is malformed at %s is refused', async (pointer, asked) => {
    const response = await world.post('/v1/scope', asked, { token })
    expect(await problemIn(response)).toMatchObject({ status: 400, reason: 'malformed_request', pointer })
  })
})

const add = (bundle: Bundle, id: string, effect: 'permit' | 'forbid', body: unknown, annotations = {}): void => {
  const all = { op: 'All' } as const
  const conditions = body === undefined ? [] : [{ kind: 'when', body }]
  const policy = { effect, principal: all, action: all, resource: all, conditions, annotations: { id, ...annotations } }
  const { staticPolicies } = bundle.policies
  bundle.policies = { ...bundle.policies, staticPolicies: { ...staticPolicies, [id]: policy as never } }
  bundle.texts[id] = { text: '', hash: contentHash(policy) }
}
const limited = (bundle: Bundle): void => add(bundle, 'pace', 'forbid', undefined, { limit: '2/h' })
const tag = { getTag: { left: { Var: 'resource' }, right: { Value: 'x' } } }
const unsayable = (bundle: Bundle): void => add(bundle, 'sum', 'forbid', { '==': { left: tag, right: { Value: 1 } } })
const sprawling = (bundle: Bundle): void => {
  for (let n = 0; n < 100; n++) {
    const left = { '.': { left: { Var: 'resource' }, attr: 'status' } }
    add(bundle, `like-${n}`, 'permit', { like: { left, pattern: [{ Literal: `${n}` }, 'Wildcard'] } })
  }
}

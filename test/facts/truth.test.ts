import { beforeEach, describe, expect, it } from 'vitest'
import { recordsIn, type Written } from '../../src/facts/written.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { ask, at, createTruth, secretsOf, type TruthWorld, total } from './build.ts'

let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
  token = await world.agentToken()
})

describe('a permit that reads a fact', () => {
  it('allows what the fact bears, and denies what it does not', async () => {
    await world.push('orders', [total(9_000)])
    const fits = await world.evaluate(ask('refund', { amount: 9_000 }), { token })
    expect(fits.context).toMatchObject({ outcome: 'allow', reason: 'permitted' })
    const exceeds = await world.evaluate(ask('refund', { amount: 9_001 }), { token })
    expect(exceeds.context).toMatchObject({ outcome: 'deny', reason: 'not_permitted' })
  })

  it('defers while nobody stated it, and names it with the sources that could', async () => {
    const { decision, context } = await world.evaluate(ask('refund', { amount: 5 }), { token })
    expect(decision).toBe(false)
    expect(context).toMatchObject({
      outcome: 'defer',
      reason: 'facts_missing',
      missing: [{ name: 'facts.orderTotal', sources: ['mirror', 'orders', 'crm'] }],
    })
  })

  it('a fact that cannot change the outcome is not waited for', async () => {
    const { context } = await world.evaluate(ask('refund', { amount: 1_000_001 }), { token })
    expect(context).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
  })

  it("an agent's own word is no fact", async () => {
    const claimed = await world.evaluate(ask('refund', { amount: 5 }, { claims: { orderTotal: 900 } }), { token })
    expect(claimed.context).toMatchObject({ outcome: 'defer', claims: [{ name: 'orderTotal', status: 'unsupported' }] })
    const posed = ask('refund', { amount: 5 }, { facts: { orderTotal: { value: 900 } } })
    expect((await world.evaluate(posed, { token })).context.outcome).toBe('defer')
  })
})

describe('a forbid that reads a missing fact', () => {
  it('defers, never allows', async () => {
    const { context } = await world.evaluate(ask('ship', { customer: 'c1', express: true }), { token })
    expect(context).toMatchObject({ outcome: 'defer', missing: [{ name: 'facts.risk', sources: ['crm'] }] })
  })

  it('allows where it cannot come true whatever the fact is', async () => {
    const { context } = await world.evaluate(ask('ship', { customer: 'c1', express: false }), { token })
    expect(context.outcome).toBe('allow')
  })

  it('reads the fact of whom the argument names', async () => {
    const risk = (id: string, value: number) => ({
      entity: { type: 'Customer', id },
      predicate: 'risk',
      value,
      observed_at: at(-1_000),
    })
    await world.push('crm', [risk('good', 10), risk('bad', 90)])
    const outcome = async (customer: string) =>
      (await world.evaluate(ask('ship', { customer, express: true }), { token })).context.outcome
    expect(await outcome('good')).toBe('allow')
    expect(await outcome('bad')).toBe('deny')
    expect(await outcome('unheard-of')).toBe('defer')
  })
})

describe('a claim', () => {
  it('that the source of record contradicts denies, and the answer shows what it says', async () => {
    await world.push('orders', [total(9_000)])
    const { decision, context } = await world.evaluate(
      ask('refund', { amount: 5_000 }, { claims: { orderTotal: 90_000 } }),
      { token },
    )
    expect(decision).toBe(false)
    expect(context).toMatchObject({
      outcome: 'deny',
      reason: 'claim_contradicted',
      recorded: true,
      problems: [{ pointer: '/context/claims/orderTotal', code: 'contradicted' }],
      claims: [
        {
          name: 'orderTotal',
          status: 'contradicted',
          claimed: 90_000,
          facts: [{ source: 'orders', value: 9_000, from: 'ledger' }],
        },
      ],
    })
  })

  it('that is right is verified, in another unit too', async () => {
    await world.push('orders', [total(9_001)])
    for (const claimed of [9_001, { value: 90.01, unit: 'EUR' }, { value: 9_001, unit: 'cent' }]) {
      const { context } = await world.evaluate(ask('refund', { amount: 5 }, { claims: { orderTotal: claimed } }), {
        token,
      })
      expect(context).toMatchObject({ outcome: 'allow', claims: [{ status: 'verified' }] })
    }
    const off = ask('refund', { amount: 5 }, { claims: { orderTotal: { value: 90.02, unit: 'EUR' } } })
    expect((await world.evaluate(off, { token })).context.reason).toBe('claim_contradicted')
  })

  it('within the tolerance is verified; beyond it a declaration may only flag it', async () => {
    await world.push('orders', [total(10_000)])
    const note = (claimed: number) => ask('note', { text: 'x' }, { claims: { roughTotal: claimed } })
    expect((await world.evaluate(note(10_100), { token })).context.outcome).toBe('allow')
    const { context } = await world.evaluate(note(10_101), { token })
    expect(context).toMatchObject({ outcome: 'deny', reason: 'not_permitted', claims: [{ status: 'contradicted' }] })
    // this declaration doesn't disclose, and an agent is not told
    expect(context.claims?.[0]?.facts[0]).not.toHaveProperty('value')
    const pep = await world.evaluate(note(10_101), { token: await world.pepToken() })
    expect(pep.context.claims?.[0]?.facts[0]).toMatchObject({ value: 10_000 })
  })

  it('about sets and times is compared as its declaration says', async () => {
    const stated = { entity: { type: 'Order', id: '7' }, observed_at: at(-1_000) }
    await world.push('orders', [
      { ...stated, predicate: 'tags', value: ['a', 'b'] },
      { ...stated, predicate: 'placedAt', value: '2026-11-20T10:00:00Z' },
    ])
    const status = async (claims: Record<string, unknown>) =>
      (await world.evaluate(ask('view', {}, { claims }), { token })).context.claims?.[0]?.status
    expect(await status({ tags: ['b', 'a'] })).toBe('verified')
    expect(await status({ tags: ['a'] })).toBe('verified')
    expect(await status({ tags: ['a', 'c'] })).toBe('contradicted')
    expect(await status({ placedAt: '2026-11-20T11:04:00+0100' })).toBe('verified')
    expect(await status({ placedAt: '2026-11-20T10:05:01Z' })).toBe('contradicted')
  })

  it('about what nobody declared is unsupported, and one of another type does not fit', async () => {
    const unknown = await world.evaluate(ask('view', {}, { claims: { colour: 'red' } }), { token })
    expect(unknown.context).toMatchObject({ outcome: 'allow', claims: [{ name: 'colour', status: 'unsupported' }] })
    const mistyped = await world.evaluate(ask('view', {}, { claims: { orderTotal: 'much' } }), { token })
    expect(mistyped.context).toMatchObject({
      reason: 'schema_mismatch',
      problems: [{ pointer: '/context/claims/orderTotal', code: 'mistyped', expected: 'Long' }],
    })
  })
})

describe('sources that disagree', () => {
  it('the higher rank decides', async () => {
    await world.push('crm', [total(1, { observed_at: at(-1_000) })])
    await world.push('orders', [total(9_000)])
    expect((await world.evaluate(ask('refund', { amount: 500 }), { token })).context.outcome).toBe('allow')
  })

  it('of equal rank dispute it, which counts as unknown', async () => {
    await world.push('orders', [total(9_000)])
    await world.push('mirror', [total(8_000, { observed_at: at(-1_000) })])
    const { context } = await world.evaluate(ask('refund', { amount: 5 }, { claims: { orderTotal: 9_000 } }), { token })
    expect(context).toMatchObject({ outcome: 'defer', claims: [{ status: 'disputed' }] })
    expect(context.claims?.[0]?.facts.map(({ source }) => source)).toEqual(['mirror', 'orders'])
  })

  it('or the latest observation wins, where the declaration says so', async () => {
    await world.push('orders', [total(9_000)])
    await world.push('mirror', [total(8_000, { observed_at: at(-1_000) })])
    const { context } = await world.evaluate(ask('note', { text: 'x' }, { claims: { roughTotal: 8_000 } }), { token })
    expect(context).toMatchObject({ outcome: 'allow', claims: [{ status: 'verified' }] })
  })

  it('a source contradicts itself only by what it said last', async () => {
    await world.push('orders', [total(9_000, { observed_at: at(-120_000) })])
    await world.push('orders', [total(100)])
    expect((await world.evaluate(ask('refund', { amount: 500 }), { token })).context.outcome).toBe('deny')
  })
})

describe('a fact that has lapsed', () => {
  it('is stale and counts as unknown, also out of a copy', async () => {
    await world.push('orders', [total(9_000, { valid_until: at(20_000) })])
    const refund = ask('refund', { amount: 5 }, { claims: { orderTotal: 9_000 } })
    expect((await world.evaluate(refund, { token })).context.outcome).toBe('allow')
    clock.advance(20_001)
    const { context } = await world.evaluate(refund, { token })
    expect(context).toMatchObject({ outcome: 'defer', claims: [{ status: 'stale', facts: [{ source: 'orders' }] }] })
  })

  it('lapses at the end of the lifetime that its declaration gives, whatever its source says', async () => {
    await world.push('orders', [total(9_000, { observed_at: at(-3_600_001), valid_until: at(1_000_000) })])
    expect((await world.evaluate(ask('refund', { amount: 5 }), { token })).context.outcome).toBe('defer')
  })
})

describe('what a policy may ask', () => {
  it('context.missing names what is not known', async () => {
    const { context } = await world.evaluate(ask('note', { text: 'unknown' }), { token: await world.pepToken() })
    expect(context).toMatchObject({ outcome: 'allow', policies: ['note'] })
    const only = await createTruth({
      change: bundle => {
        const { note: _, ...rest } = bundle.policies.staticPolicies ?? {}
        bundle.policies = { ...bundle.policies, staticPolicies: rest }
      },
    })
    const outcome = async () =>
      (await only.evaluate(ask('note', { text: 'unknown' }), { token: await only.agentToken() })).context.outcome
    expect(await outcome()).toBe('allow')
    await only.push('orders', [total(1)])
    expect(await outcome()).toBe('deny')
  })

  it('@requires: a permit with an older fact is no permit yet, and a copy that is too old is read again', async () => {
    await world.push('orders', [total(9_000, { observed_at: at(-540_000) })])
    expect((await world.evaluate(ask('close'), { token })).context.outcome).toBe('allow')
    clock.advance(60_001)
    const { context } = await world.evaluate(ask('close'), { token })
    expect(context).toMatchObject({ outcome: 'defer', missing: [{ name: 'facts.orderTotal' }] })
    // the same fact does where nobody asks for a fresh one
    expect((await world.evaluate(ask('refund', { amount: 5 }), { token })).context.outcome).toBe('allow')
    await world.push('orders', [total(9_000)])
    expect((await world.evaluate(ask('close'), { token })).context.outcome).toBe('allow')
  })

  it('@requires: a forbid without its fact defers', async () => {
    const cleared = (value: boolean, observed_at: string) => ({
      entity: { type: 'Agent', id: 'clerk' },
      predicate: 'cleared',
      value,
      observed_at,
    })
    const outcome = async () => (await world.evaluate(ask('enter'), { token })).context.outcome
    expect(await outcome()).toBe('defer')
    await world.push('crm', [cleared(true, at(-25 * 3_600_000))])
    expect(await outcome()).toBe('defer')
    await world.push('crm', [cleared(true, at(-1_000))])
    expect(await outcome()).toBe('allow')
    await world.push('crm', [cleared(false, at(0))])
    expect(await outcome()).toBe('deny')
  })
})

describe('what it costs', () => {
  it('at most one D1 read, on the primary; none while a copy is young enough', async () => {
    const isolate = createIsolate()
    const send = isolate.send
    await world.push('orders', [total(9_000)])
    await world.evaluate(ask('view'), { token, send })
    isolate.uses()
    await world.evaluate(ask('refund', { amount: 5 }), { token, send })
    expect(isolate.uses()).toEqual(['d1 withSession', 'object decide'])
    clock.advance(29_000)
    await world.evaluate(ask('refund', { amount: 5 }, { claims: { orderTotal: 9_000 } }), { token, send })
    expect(isolate.uses().filter(use => use !== 'kv get')).toEqual(['object decide'])
    clock.advance(1_001)
    await world.evaluate(ask('refund', { amount: 5 }), { token, send })
    expect(isolate.uses()).toContain('d1 withSession')
  })

  it('one for a whole batch, and what no policy asks for is not looked up', async () => {
    const isolate = createIsolate()
    const send = isolate.send
    const evaluations = [
      ask('refund', { amount: 1 }),
      ask('refund', { amount: 1 }, {}, '8'),
      ask('ship', { customer: 'c', express: true }),
      ask('view'),
    ]
    await world.evaluate(ask('view'), { token, send })
    expect(isolate.uses().filter(use => use.startsWith('d1'))).toEqual([])
    await world.evaluateAll({ evaluations }, { token, send })
    // those that were deferred are entered together, in one write
    expect(isolate.uses()).toEqual(['d1 withSession', 'object decide', 'd1 withSession'])
  })

  it('a ledger that cannot be read leaves what it would have said unknown', async () => {
    const broken = createIsolate(
      {},
      {
        DB: new Proxy({} as D1Database, {
          get: () => {
            throw new Error('D1 is cut off')
          },
        }),
      },
    )
    await world.push('orders', [total(9_000)])
    const refund = ask('refund', { amount: 5 }, { claims: { orderTotal: 9_000 } })
    const { context } = await world.evaluate(refund, { token, send: broken.send })
    expect(context).toMatchObject({ outcome: 'defer', claims: [{ status: 'unreachable' }] })
  })
})

it('a receipt holds the facts used, by id and hash, and whether each came from the ledger or a copy', async () => {
  const [pushed] = await world.push('orders', [total(9_000)])
  const isolate = createIsolate()
  for (let i = 0; i < 2; i++) {
    await world.evaluate(ask('refund', { amount: 5 }, { claims: { orderTotal: 9_000 } }), { token, send: isolate.send })
  }
  const found = await secretsOf(world)
  const fact = { id: pushed?.id, hash: pushed?.hash, source: 'orders' }
  const entry = { name: 'orderTotal', status: 'verified', claimed: 9_000 }
  expect(found.map(({ facts }) => recordsIn(facts?.value as Written[]))).toEqual([
    [{ ...entry, facts: [{ ...fact, from: 'ledger' }] }],
    [{ ...entry, facts: [{ ...fact, from: 'cache' }] }],
  ])
})

it('a retry tells the claims again that lie under a key, until that is erased', async () => {
  const privacy = { personal: [{ of: 'resource' as const, fields: ['facts' as const] }] }
  const sealing = await createTruth({
    change: bundle => {
      bundle.settings = { ...bundle.settings, privacy }
    },
  })
  await sealing.push('orders', [total(9_000)])
  const own = await sealing.agentToken()
  const evaluate = () =>
    sealing.evaluate(ask('refund', { amount: 1 }, { claims: { orderTotal: 90_000 } }), {
      token: own,
      headers: { 'idempotency-key': 'sealed' },
    })
  const { context } = await evaluate()
  expect(context.claims).toMatchObject([{ name: 'orderTotal', status: 'contradicted' }])
  expect((await evaluate()).context).toEqual(context)
  const subject = { type: 'Order', id: '7' }
  const admin = await sealing.token({ roles: ['admin'] })
  expect((await sealing.post('/v1/erasures', { subject, reason: 'asked to' }, { token: admin })).status).toBe(200)
  const { claims: _, ...left } = context
  expect((await evaluate()).context).toEqual(left)
})

it('the same key gives the same answer, claims included', async () => {
  await world.push('orders', [total(9_000)])
  const headers = { 'idempotency-key': 'once' }
  const claims = { roughTotal: 9_000, orderTotal: 9, weather: 'fine' }
  const refund = ask('refund', { amount: 5 }, { claims })
  const first = await world.evaluate(refund, { token, headers })
  expect(first.context.reason).toBe('claim_contradicted')
  expect(first.context.claims?.map(({ name, status }) => [name, status])).toEqual([
    ['orderTotal', 'contradicted'],
    ['roughTotal', 'verified'],
    ['weather', 'unsupported'],
  ])
  await world.push('orders', [total(9, { observed_at: at(0) })])
  clock.advance(31_000)
  expect(await world.evaluate(refund, { token, headers })).toEqual(first)
})

import { env } from 'cloudflare:workers'
import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import { sha256 } from '../../src/durable/hash.ts'
import { clock } from '../clock.ts'
import { problemIn } from '../http/world.ts'
import { ask, at, createTruth, type TruthWorld, total } from './build.ts'

let world: TruthWorld
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
})

const rows = async () =>
  (await env.DB.prepare('SELECT * FROM facts WHERE tenant = ? ORDER BY n').bind(world.tenant).all()).results

describe('a batch of facts', () => {
  it('that comes twice is written once', async () => {
    const batch = [total(1), total(2, { id: 'named', observed_at: at(-1_000) })]
    const first = await world.push('orders', batch)
    expect(first.map(({ status }) => status)).toEqual(['recorded', 'recorded'])
    const again = await world.push('orders', batch)
    expect(again).toEqual(first.map(fact => ({ ...fact, status: 'known' })))
    expect(await rows()).toHaveLength(2)
  })

  it('keeps what stands when a name is used for something else', async () => {
    await world.push('orders', [total(1, { id: 'a' })])
    expect(await world.push('orders', [total(2, { id: 'a' })])).toMatchObject([{ status: 'conflict' }])
    expect((await rows()).map(({ value }) => value)).toEqual(['1'])
    // another source's names are its own
    expect(await world.push('mirror', [total(2, { id: 'a' })])).toMatchObject([{ status: 'recorded' }])
  })

  it('loses nothing to an item that is wrong, and says what is wrong with it', async () => {
    const answer = await world.push('orders', [
      total(1),
      total('much'),
      { ...total(1), predicate: 'risk' },
      { ...total(1), observed_at: 'yesterday' },
      // an offset without minutes is ISO 8601's, and no day of any year
      { ...total(1), observed_at: '2026-11-19T09:00:00+01' },
      { ...total(1), observed_at: '2026-02-30T09:00:00Z' },
      { ...total(1), valid_until: '2126-02-30T09:00:00Z' },
      total(1, { observed_at: at(120_000), valid_until: at(180_000) }),
      total(1, { valid_until: at(-120_000) }),
      'nothing',
      total(3, { observed_at: at(-10) }),
    ])
    expect(answer.map(({ status, reason, pointer }) => [status, reason, pointer])).toEqual([
      ['recorded', undefined, undefined],
      ['refused', 'mistyped', '/value'],
      ['refused', 'out_of_scope', '/predicate'],
      ['refused', 'malformed', '/observed_at'],
      ['refused', 'malformed', '/observed_at'],
      ['refused', 'malformed', '/observed_at'],
      ['refused', 'malformed', '/valid_until'],
      ['refused', 'malformed', '/observed_at'],
      ['refused', 'malformed', '/valid_until'],
      ['refused', 'malformed', ''],
      ['recorded', undefined, undefined],
    ])
    expect(await rows()).toHaveLength(2)
  })

  it('is taken from a source alone, and from one that the bundle registers', async () => {
    const push = async (token: string) => world.post('/v1/facts', { facts: [total(1)] }, { token })
    expect((await problemIn(await push(await world.agentToken()))).reason).toBe('forbidden_role')
    expect((await problemIn(await push(await world.pepToken()))).reason).toBe('forbidden_role')
    expect((await problemIn(await push(await world.sourceToken('nobody')))).reason).toBe('not_a_source')
    const nameless = await world.token({ roles: ['source'] })
    expect((await problemIn(await push(nameless))).reason).toBe('not_a_source')
    const token = await world.sourceToken('orders')
    const empty = await problemIn(await world.post('/v1/facts', { facts: [] }, { token }))
    expect(empty).toMatchObject({ reason: 'malformed_request', pointer: '/facts' })
  })

  it("of one tenant is another's nothing", async () => {
    const other = await createTruth()
    await other.push('orders', [total(9_000)])
    const { context } = await world.evaluate(ask('refund', { amount: 1 }), { token: await world.agentToken() })
    expect(context.outcome).toBe('defer')
  })

  it('of 400 facts in one call', async () => {
    const batch = Array.from({ length: 400 }, (_, i) => ({
      entity: { type: 'Order', id: `${i}` },
      predicate: 'total',
      value: i,
      observed_at: at(-1_000),
    }))
    expect((await world.push('orders', batch)).every(({ status }) => status === 'recorded')).toBe(true)
  })
})

describe('history', () => {
  const told = async (query: string) => {
    const token = await world.token({ roles: ['auditor'] })
    const response = await world.send('GET', `/v1/facts?type=Order&id=7${query}`, undefined, { token })
    expect(response.status).toBe(200)
    const { facts } = v.parse(History, await response.json())
    return facts.map(({ value }) => value)
  }

  it('what was believed at any time can be told later', async () => {
    const times: string[] = []
    for (const value of [1, 2, 3]) {
      await world.push('orders', [total(value)])
      times.push(at(0))
      clock.advance(10_000)
    }
    expect(await told('')).toEqual([3, 2, 1])
    expect(await told(`&as_of=${times[1]}`)).toEqual([2, 1])
    expect(await told(`&as_of=${times[0]}&predicate=total&source=orders`)).toEqual([1])
    expect(await told('&source=mirror')).toEqual([])
  })

  it('a correction takes the place of what it supersedes, although that was observed later', async () => {
    const [wrong] = await world.push('orders', [total(900_000, { observed_at: at(-1_000) })])
    const token = await world.agentToken()
    const refund = ask('refund', { amount: 5_000 })
    await world.push('mirror', [total(9_000)])
    expect((await world.evaluate(refund, { token })).context.outcome).toBe('defer')
    // only the source itself takes back what it said
    const foreign = total(9_000, { supersedes: wrong?.id, observed_at: at(-50_000) })
    expect(await world.push('mirror', [foreign])).toMatchObject([UNKNOWN])
    expect((await world.evaluate(refund, { token })).context.outcome).toBe('defer')
    await world.push('orders', [total(9_000, { supersedes: wrong?.id })])
    expect((await world.evaluate(refund, { token })).context.outcome).toBe('allow')
    expect(await told('')).toHaveLength(3)
  })

  it('what was said before counts again where it is said in place of what came between', async () => {
    const said = total(9_000)
    const [right] = await world.push('orders', [said])
    const [wrong] = await world.push('orders', [total(900_000, { observed_at: at(-1_000) })])
    const correction = { ...said, supersedes: wrong?.id }
    const [corrected] = await world.push('orders', [correction])
    expect(corrected).toMatchObject({ status: 'recorded', hash: right?.hash })
    expect(await world.push('orders', [correction])).toEqual([{ ...corrected, status: 'known' }])
    const { context } = await world.evaluate(ask('refund', { amount: 5_000 }), { token: await world.agentToken() })
    expect(context.outcome).toBe('allow')
    expect(await told('')).toEqual([9_000, 900_000, 9_000])
  })

  it('a correction of what the ledger hasn’t got is refused, and nothing else of its batch', async () => {
    const elsewhere = await createTruth()
    const [theirs] = await elsewhere.push('orders', [total(1)])
    const [wrong, other, tags] = await world.push('orders', [
      total(1, { id: 'wrong' }),
      total(1, { entity: { type: 'Order', id: '8' } }),
      { ...total(['a']), predicate: 'tags' },
    ])
    const first = idOf('orders', 'first')
    const batch = [
      total(2, { id: 'good', supersedes: wrong?.id }),
      total(3, { id: 'typo', supersedes: `${wrong?.id}x` }),
      total(4, { id: 'entity', supersedes: other?.id }),
      total(5, { id: 'predicate', supersedes: tags?.id }),
      total(6, { id: 'tenant', supersedes: theirs?.id }),
      total(7, { id: 'itself', supersedes: idOf('orders', 'itself') }),
      total(8, { id: 'first' }),
      total(9, { id: 'too soon', supersedes: first }),
      total(10, { id: 'named', supersedes: 'wrong' }),
      total('much', { supersedes: wrong?.id }),
      total(11),
    ]
    const answer = await world.push('orders', batch)
    expect(answer.map(({ status, reason }) => reason ?? status)).toEqual([
      'recorded',
      ...['unknown_fact', 'unknown_fact', 'unknown_fact', 'unknown_fact', 'unknown_fact'],
      'recorded',
      ...['unknown_fact', 'unknown_fact'],
      'mistyped',
      'recorded',
    ])
    expect(answer[1]).toMatchObject({ ...UNKNOWN, detail: expect.any(String) })
    expect(await told('')).toEqual([11, 8, 2, ['a'], 1])
    // sent again, what stands is known, and what waited for it is taken
    const again = await world.push('orders', batch)
    expect(again.map(({ status }) => status)).toEqual([
      'known',
      ...['refused', 'refused', 'refused', 'refused', 'refused'],
      'known',
      ...['recorded', 'refused'],
      'refused',
      'known',
    ])
  })

  it('a name stands for what it took back, too', async () => {
    const [wrong, other] = await world.push('orders', [total(1), total(2)])
    await world.push('orders', [total(3, { id: 'a', supersedes: wrong?.id })])
    for (const supersedes of [other?.id, undefined])
      expect(await world.push('orders', [total(3, { id: 'a', supersedes })])).toMatchObject([{ status: 'conflict' }])
  })

  it('a refused correction wakes nobody', async () => {
    const token = await world.agentToken()
    const { context } = await world.evaluate(ask('refund', { amount: 5_000 }), { token })
    expect(context.outcome).toBe('defer')
    const state = async () => {
      const path = `/v1/waits/Agent/clerk/${context.evaluation_id}`
      return v.parse(
        v.object({ state: v.string() }),
        await (await world.send('GET', path, undefined, { token })).json(),
      )
    }
    expect(await world.push('orders', [total(9_000, { supersedes: 'nothing' })])).toMatchObject([UNKNOWN])
    expect(await state()).toEqual({ state: 'open' })
    await world.push('orders', [total(9_000)])
    expect(await state()).toEqual({ state: 'ready' })
  })
})

describe('POST /v1/facts/verify', () => {
  const verify = async (claims: unknown[], attestations: string[] = []) => {
    const token = await world.token({ roles: ['auditor'] })
    const response = await world.post('/v1/facts/verify', { claims, attestations }, { token })
    if (response.status !== 200) return problemIn(response)
    return response.json()
  }
  const entity = { type: 'Order', id: '7' }

  it('says of each claim what becomes of it, with the facts that say so', async () => {
    await world.push('orders', [total(9_000), { ...total(['a']), predicate: 'tags', valid_until: at(-1_000) }])
    expect(
      await verify([
        { name: 'orderTotal', entity, value: 9_000 },
        { name: 'orderTotal', entity, value: 900 },
        { name: 'orderTotal', entity: { type: 'Order', id: '8' }, value: 1 },
        { name: 'tags', entity, value: ['a'] },
        { name: 'colour', entity, value: 'red' },
      ]),
    ).toMatchObject({
      claims: [
        { status: 'verified', facts: [{ source: 'orders', value: 9_000 }] },
        { status: 'contradicted', facts: [{ source: 'orders', value: 9_000 }] },
        { status: 'unsupported', facts: [] },
        { status: 'stale', facts: [{ source: 'orders' }] },
        { status: 'unsupported', facts: [] },
      ],
      refused: [],
    })
  })

  it('what a source said and may no longer say is out of scope', async () => {
    await world.push('orders', [total(9_000)])
    await world.push('crm', [
      { entity: { type: 'Customer', id: 'c' }, predicate: 'risk', value: 1, observed_at: at(-1) },
    ])
    await world.pushBundle(bundle => {
      const { crm } = bundle.facts?.sources ?? {}
      if (crm) crm.speaks_of = crm.speaks_of.filter(({ type }) => type !== 'Customer')
    })
    clock.advance(6_000)
    await verify([{ name: 'risk', entity, value: 1 }])
    const risk = { name: 'risk', entity: { type: 'Customer', id: 'c' }, value: 1 }
    expect(await verify([risk])).toMatchObject({ claims: [{ status: 'out_of_scope', facts: [{ source: 'crm' }] }] })
  })

  it('takes attestations, and says which count for nothing', async () => {
    const good = await world.attest('orders', [total(9_000)])
    const bad = await world.attest('orders', [total(9_000)], { aud: 'elsewhere' })
    expect(await verify([{ name: 'orderTotal', entity, value: 9_000 }], [bad, good])).toMatchObject({
      claims: [{ status: 'verified' }],
      refused: [{ pointer: '/attestations/0', code: 'audience' }],
    })
  })

  it('points to what is not well formed', async () => {
    expect(await verify([{ name: 'orderTotal', entity, value: 'much' }])).toMatchObject({
      reason: 'malformed_request',
      pointer: '/claims/0/value',
    })
    expect(await verify([])).toMatchObject({ reason: 'malformed_request', pointer: '/claims' })
    const response = await world.post('/v1/facts/verify', {}, { token: await world.agentToken() })
    expect((await problemIn(response)).reason).toBe('forbidden_role')
  })
})

/** The ledger's id of what a source gave a name. */
const idOf = (source: string, name: string) => sha256(JSON.stringify([source, name]))

const UNKNOWN = { status: 'refused', reason: 'unknown_fact', pointer: '/supersedes' }

const History = v.object({ facts: v.array(v.object({ value: v.unknown() })) })

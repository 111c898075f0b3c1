import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, idsOf, refund, type World } from '../http/world.ts'
import { createIsolate } from './isolate.ts'

let world: World
let isolate: ReturnType<typeof createIsolate>
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  isolate = createIsolate()
})

const ONE_CALL = ['object decide']

/** Whether somebody other than the agent stands in its token. */
const isDelegated = (token: string): boolean => {
  const { chain = [], user }: { chain?: unknown[]; user?: unknown } = JSON.parse(
    atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')),
  )
  return chain.length > 0 || user !== undefined
}

describe('once warm, a single evaluation makes one call to one object, and reads neither KV nor D1', () => {
  const user = { type: 'User', id: 'lea' }
  it.each<[string, string, unknown, () => Promise<string>]>([
    ['allowed', 'permitted', asking('read'), () => world.agentToken()],
    ['denied by policy', 'forbidden', refund(501), () => world.agentToken()],
    ['denied by default', 'not_permitted', asking('export'), () => world.agentToken()],
    ['metered', 'permitted', asking('ping'), () => world.agentToken()],
    ['for a user, two legs', 'permitted', refund(5), () => world.agentToken('clerk', { user })],
    [
      'delegated, three legs',
      'permitted',
      asking('read'),
      () => world.agentToken('clerk', { user, chain: [{ type: 'Agent', id: 'helper' }] }),
    ],
    ['asked by a PEP', 'permitted', asking('read'), () => world.pepToken()],
    ['what does not fit the schema', 'schema_mismatch', refund('x'), () => world.agentToken()],
    ['an unknown action', 'unknown_action', asking('fly'), () => world.agentToken()],
    [
      'an unknown agent',
      'unknown_agent',
      asking('read', { subject: { type: 'Agent', id: 'ghost' } }),
      () => world.agentToken('ghost'),
    ],
  ])('%s', async (_, reason, ask, tokenOf) => {
    const token = await tokenOf()
    await world.evaluate(ask, { token, send: isolate.send })
    // Cold: the pointer, the bundle and the kill switches. Authority that comes from others also needs the list of what
    // was taken away, read once.
    const cold = [...(isDelegated(token) ? ['d1 prepare'] : []), 'kv get', 'kv get', 'kv get', 'object decide']
    expect(isolate.uses().toSorted()).toEqual(cold)
    const { context } = await world.evaluate(ask, { token, send: isolate.send })
    expect(context.reason).toBe(reason)
    expect(isolate.uses()).toEqual(ONE_CALL)
  })

  it('with an Idempotency-Key, its retry included', async () => {
    const token = await world.agentToken()
    await world.evaluate(asking('read'), { token, send: isolate.send })
    isolate.uses()
    const headers = { 'idempotency-key': 'k' }
    await world.evaluate(asking('read'), { token, headers, send: isolate.send })
    await world.evaluate(asking('read'), { token, headers, send: isolate.send })
    expect(isolate.uses()).toEqual([...ONE_CALL, ...ONE_CALL])
  })

  it('whom it refuses, it calls nothing for', async () => {
    const token = await world.agentToken()
    await world.evaluate(asking('read'), { token, send: isolate.send })
    isolate.uses()
    const send = isolate.send
    await world.post('/access/v1/evaluation', asking('read'), { send })
    await world.post('/access/v1/evaluation', asking('read'), { token: 'x.y.z', send })
    await world.post('/access/v1/evaluation', asking('read', { subject: { type: 'Agent', id: 'helper' } }), {
      token,
      send,
    })
    await world.send('POST', '/access/v1/evaluation', '{', { token, send })
    await world.send('GET', '/.well-known/jwks.json', undefined, { send })
    await world.send('GET', '/.well-known/authzen-configuration', undefined, { send })
    expect(isolate.uses()).toEqual([])
  })

  it('a caller without a token costs not even a read of the bundle', async () => {
    await world.post('/access/v1/evaluation', asking('read'), { send: isolate.send })
    expect(isolate.uses()).toEqual([])
  })
})

it('while the pointer is confirmed again, and KV does not answer, decisions are not held up', async () => {
  const slow = createIsolate({ deadlineMs: 60_000 })
  const token = await world.agentToken()
  await world.evaluate(asking('read'), { token, send: slow.send })
  slow.uses()
  const kv = Promise.withResolvers<null>()
  slow.see(() => kv.promise)
  clock.advance(6_000)
  const answer = await world.evaluate(asking('read'), { token, send: slow.sendAndLeave })
  expect(answer.decision).toBe(true)
  expect(slow.uses().toSorted()).toEqual(['kv get', 'kv get', 'object decide'])
  kv.resolve(null)
})

describe('a batch makes one call per agent', () => {
  const of = (id: string, action = 'read') => ({ subject: { type: 'Agent', id }, action: { name: action } })
  const resource = { type: 'Order', id: '7' }

  it('for one agent, one', async () => {
    const token = await world.agentToken()
    const batch = { ...asking('read'), evaluations: Array.from({ length: 20 }, () => ({})) }
    await world.evaluateAll(batch, { token, send: isolate.send })
    expect(isolate.uses().filter(use => use.startsWith('object'))).toEqual(ONE_CALL)
    expect(isolate.calls[0]?.items).toHaveLength(20)
  })

  it('its items in their order, the answers in the order of the batch, each with its receipt', async () => {
    const token = await world.pepToken()
    const evaluations = [
      of('clerk'),
      of('helper', 'export'),
      of('clerk', 'export'),
      of('outsider'),
      of('helper'),
      of('clerk'),
    ]
    const items = await world.evaluateAll({ resource, evaluations }, { token, send: isolate.send })
    expect(items.map(brief)).toEqual([
      'allow: permitted',
      'no: not_permitted',
      'no: not_permitted',
      'no: not_permitted',
      'allow: permitted',
      'allow: permitted',
    ])
    expect(isolate.uses().filter(use => use.startsWith('object'))).toHaveLength(3)
    const ids = idsOf(items)
    const places: Record<string, number[]> = { clerk: [0, 2, 5], helper: [1, 4], outsider: [3] }
    for (const [id, indexes] of Object.entries(places)) {
      const recorded = (await world.receipts(id)).map(({ body }) => JSON.parse(body).decision.evaluation_id)
      expect(recorded).toEqual(indexes.map(index => ids[index]))
    }
  })

  it('items that are refused take no part in it', async () => {
    const token = await world.agentToken()
    const evaluations = [{}, { subject: { type: 'Agent', id: 'helper' } }, { resource: { type: 'Order' } }, {}]
    const items = await world.evaluateAll({ ...asking('read'), evaluations }, { token, send: isolate.send })
    expect(items.map(brief)).toEqual([
      'allow: permitted',
      'no: subject_mismatch',
      'no: malformed_request',
      'allow: permitted',
    ])
    expect(isolate.calls.map(call => call.items.length)).toEqual([2])
    expect(await world.receipts()).toHaveLength(2)
  })

  it('a limit is taken item by item', async () => {
    const token = await world.agentToken()
    const batch = { ...asking('ping'), evaluations: Array.from({ length: 5 }, () => ({})) }
    const items = await world.evaluateAll(batch, { token, send: isolate.send })
    expect(items.map(brief)).toEqual([
      'allow: permitted',
      'allow: permitted',
      'allow: permitted',
      'no: rate_limited',
      'no: rate_limited',
    ])
    expect(items[3]?.context.retry_after).toBeGreaterThan(0)
  })
})

describe('with short-circuit semantics', () => {
  const of = (id: string, action: string) => ({ subject: { type: 'Agent', id }, action: { name: action } })
  const ask = async (semantic: string, ...evaluations: unknown[]) => {
    const batch = { resource: { type: 'Order', id: '7' }, options: { evaluations_semantic: semantic }, evaluations }
    return (await world.evaluateAll(batch, { token: await world.pepToken(), send: isolate.send })).map(brief)
  }
  const calls = () => isolate.calls.map(call => `${call.agent} ${call.items.length}`)

  it('there is one call per consecutive run of one agent', async () => {
    const answers = await ask(
      'deny_on_first_deny',
      of('clerk', 'read'),
      of('clerk', 'ping'),
      of('helper', 'read'),
      of('clerk', 'read'),
      of('clerk', 'read'),
    )
    expect(answers).toEqual(Array.from({ length: 5 }, () => 'allow: permitted'))
    expect(calls()).toEqual(['Agent::"clerk" 2', 'Agent::"helper" 1', 'Agent::"clerk" 2'])
  })

  it('deny_on_first_deny ends with the first denial; what follows takes nothing and leaves nothing', async () => {
    const answers = await ask(
      'deny_on_first_deny',
      of('clerk', 'ping'),
      of('clerk', 'export'),
      of('clerk', 'ping'),
      of('clerk', 'ping'),
      of('helper', 'ping'),
    )
    expect(answers).toEqual(['allow: permitted', 'no: not_permitted'])
    expect(calls()).toEqual(['Agent::"clerk" 4'])
    expect(await world.receipts()).toHaveLength(2)
    expect(await world.receipts('helper')).toEqual([])
    const token = await world.agentToken()
    const rest = await world.evaluateAll({ ...asking('ping'), evaluations: [{}, {}, {}] }, { token })
    expect(rest.map(brief)).toEqual(['allow: permitted', 'allow: permitted', 'no: rate_limited'])
  })

  it('permit_on_first_permit ends with the first permit, also within a run', async () => {
    const answers = await ask(
      'permit_on_first_permit',
      of('outsider', 'ping'),
      of('clerk', 'export'),
      of('clerk', 'ping'),
      of('clerk', 'ping'),
      of('helper', 'ping'),
    )
    expect(answers).toEqual(['no: not_permitted', 'no: not_permitted', 'allow: permitted'])
    expect(calls()).toEqual(['Agent::"outsider" 1', 'Agent::"clerk" 3'])
    expect(await world.receipts()).toHaveLength(2)
    expect(await world.receipts('helper')).toEqual([])
  })

  it('an item that is malformed is a denial that ends the batch, and nothing after it is asked', async () => {
    const answers = await ask('deny_on_first_deny', of('clerk', 'read'), { subject: 5 }, of('clerk', 'read'))
    expect(answers).toEqual(['allow: permitted', 'no: malformed_request'])
    expect(calls()).toEqual(['Agent::"clerk" 1'])
  })

  it('an item that is malformed is no permit, and what follows is asked', async () => {
    const answers = await ask('permit_on_first_permit', { subject: 5 }, of('clerk', 'read'), of('clerk', 'read'))
    expect(answers).toEqual(['no: malformed_request', 'allow: permitted'])
  })

  it('where nothing ends it, every item is answered', async () => {
    expect(await ask('permit_on_first_permit', of('clerk', 'export'), of('helper', 'export'))).toHaveLength(2)
    expect(await ask('deny_on_first_deny', of('clerk', 'read'), of('helper', 'read'))).toHaveLength(2)
  })
})

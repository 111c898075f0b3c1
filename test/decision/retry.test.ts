import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, problemIn, refund, type World, withoutReads } from '../http/world.ts'
import { createIsolate } from './isolate.ts'

let world: World
let isolate: ReturnType<typeof createIsolate>
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  isolate = createIsolate()
  token = await world.agentToken()
})
afterEach(() => void vi.useRealTimers())

const keyed = (key: string, more = {}) => ({ token, headers: { 'idempotency-key': key }, send: isolate.send, ...more })
/** What is left of the three pings an hour. */
const pingsLeft = async (): Promise<number> => {
  const items = await world.evaluateAll({ ...asking('ping'), evaluations: [{}, {}, {}] }, { token })
  return items.filter(item => item.decision).length
}
const claimsOf = (permit: string | undefined) =>
  JSON.parse(atob((permit?.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')))

describe('a retry with the same key and body is the same decision', () => {
  it('same evaluation_id, jti and exp, and nothing is taken twice', async () => {
    const first = await world.evaluate(asking('ping'), keyed('k'))
    clock.advance(30_000)
    for (let times = 0; times < 3; times++) {
      const again = await world.evaluate(asking('ping'), keyed('k'))
      expect(again).toEqual({ ...first, context: { ...first.context, permit: again.context.permit } })
      expect(claimsOf(again.context.permit)).toEqual(claimsOf(first.context.permit))
    }
    expect(await world.receipts()).toHaveLength(1)
    expect(await pingsLeft()).toBe(2)
  })

  it('also a denial, with its problems', async () => {
    const first = await world.evaluate(refund('x'), keyed('k'))
    expect(await world.evaluate(refund('x'), keyed('k'))).toEqual(first)
    expect(await world.receipts()).toHaveLength(1)
  })

  it('also from another isolate, another token of the same caller, and at once', async () => {
    const tokens = await Promise.all(
      [1, 2, 3, 4].map(age => world.agentToken('clerk', { iat: Math.floor(clock.now() / 1000) - age })),
    )
    const answers = await Promise.all(
      tokens.map(other => world.evaluate(asking('ping'), keyed('k', { token: other, send: createIsolate().send }))),
    )
    expect(new Set(answers.map(({ context }) => context.evaluation_id)).size).toBe(1)
    expect(await world.receipts()).toHaveLength(1)
  })

  it('also where the policies have changed since', async () => {
    const first = await world.evaluate(asking('read'), keyed('k'))
    await world.push(withoutReads)
    const other = createIsolate()
    expect(brief(await world.evaluate(asking('read'), { token, send: other.send }))).toBe('no: not_permitted')
    const again = await world.evaluate(asking('read'), keyed('k', { send: other.send }))
    expect(again.context).toMatchObject({ evaluation_id: first.context.evaluation_id, bundle: world.first.hash })
  })

  it('a batch, item by item', async () => {
    const batch = { ...asking('ping'), evaluations: [{}, { action: { name: 'export' } }, {}] }
    const first = await world.evaluateAll(batch, keyed('k'))
    expect(first.map(brief)).toEqual(['allow: permitted', 'no: not_permitted', 'allow: permitted'])
    expect(await world.evaluateAll(batch, keyed('k'))).toEqual(first)
    expect(await world.receipts()).toHaveLength(3)
    expect(await pingsLeft()).toBe(1)
  })

  it('a batch over several agents, runs of one agent apart', async () => {
    const pep = await world.pepToken()
    const of = (id: string) => ({ subject: { type: 'Agent', id } })
    for (const semantic of ['execute_all', 'permit_on_first_permit', 'deny_on_first_deny']) {
      const batch = {
        ...asking('ping', { resource: { type: 'Order', id: semantic } }),
        options: { evaluations_semantic: semantic },
        evaluations: [of('clerk'), of('helper'), of('clerk')],
      }
      const first = await world.evaluateAll(batch, keyed(semantic, { token: pep }))
      expect(await world.evaluateAll(batch, keyed(semantic, { token: pep }))).toEqual(first)
    }
  })

  it('a suspended agent gets no permit that was decided before', async () => {
    await world.evaluate(asking('read'), keyed('k'))
    await world.object().suspend({ v: 1, tenant: world.tenant, agent: 'x', by: 'admin', reason: 'r', at: clock.now() })
    expect(brief(await world.evaluate(asking('read'), keyed('k')))).toBe('no: suspended')
  })
})

describe('a key stands for one body', () => {
  const refused = async (path: string, body: unknown, sending = keyed('k')) => {
    const response = await world.post(path, body, sending)
    expect(response.status).toBe(422)
    expect((await problemIn(response)).reason).toBe('idempotency_mismatch')
  }

  it('with another one the call is refused, and nothing is taken', async () => {
    await world.evaluate(asking('ping'), keyed('k'))
    await refused('/access/v1/evaluation', asking('ping', { resource: { type: 'Order', id: '8' } }))
    // Space is enough: the hash is that of the body as it came.
    const text = ` ${JSON.stringify(asking('ping'))}`
    expect(
      (
        await world.send(
          'POST',
          '/access/v1/evaluation',
          text,
          keyed('k', { headers: { 'idempotency-key': 'k', 'content-type': 'application/json' } }),
        )
      ).status,
    ).toBe(422)
    expect(await world.receipts()).toHaveLength(1)
    expect(await pingsLeft()).toBe(2)
  })

  it('a batch is refused as a whole: its further items take nothing, and leave nothing', async () => {
    await world.evaluate(asking('ping'), keyed('k'))
    await refused('/access/v1/evaluations', { ...asking('ping'), evaluations: [{}, {}, {}] })
    expect(await world.receipts()).toHaveLength(1)
    expect(await pingsLeft()).toBe(2)
  })

  it('a batch whose items have changed places among agents', async () => {
    const pep = await world.pepToken()
    const of = (id: string) => ({ subject: { type: 'Agent', id } })
    const batch = (...ids: string[]) => ({ ...asking('ping'), evaluations: ids.map(of) })
    await world.evaluateAll(batch('clerk', 'helper'), keyed('k', { token: pep }))
    await refused('/access/v1/evaluations', batch('helper', 'clerk'), keyed('k', { token: pep }))
    await refused('/access/v1/evaluations', batch('outsider', 'helper'), keyed('k', { token: pep }))
    expect(await world.receipts()).toHaveLength(1)
    expect(await world.receipts('helper')).toHaveLength(1)
  })

  it('and for one caller: what others do under the same key is their own', async () => {
    const first = await world.evaluate(asking('ping'), keyed('k'))
    const pep = await world.evaluate(asking('ping'), keyed('k', { token: await world.pepToken() }))
    const other = await world.evaluate(
      asking('ping'),
      keyed('k', { token: await world.agentToken('clerk', { sub: 'other' }) }),
    )
    expect(new Set([first, pep, other].map(({ context }) => context.evaluation_id)).size).toBe(3)
  })

  it('X-Request-ID only correlates', async () => {
    const headers = { 'x-request-id': 'same' }
    const first = await world.evaluate(asking('ping'), { token, headers })
    const second = await world.evaluate(asking('ping'), { token, headers })
    expect(second.context.evaluation_id).not.toBe(first.context.evaluation_id)
  })
})

describe('where the object committed and its answer is lost', () => {
  it('the answer is a denial that says so, and the retry gets what was committed, taken once', async () => {
    await world.evaluate(asking('read'), { token, send: isolate.send })
    isolate.meet(async (call, decide) => {
      await decide(call)
      throw new Error('the connection broke')
    })
    const lost = await world.evaluate(asking('ping'), keyed('k'))
    expect(lost).toMatchObject({
      decision: false,
      context: { outcome: 'deny', reason: 'control_unreachable', recorded: false },
    })
    const [, receipt] = await world.receipts()
    const { decision } = JSON.parse(receipt?.body ?? '')
    expect(decision.outcome).toBe('allow')

    isolate.meet((call, decide) => decide(call))
    const again = await world.evaluate(asking('ping'), keyed('k'))
    expect(again).toMatchObject({ decision: true, context: { evaluation_id: decision.evaluation_id } })
    expect(claimsOf(again.context.permit)).toMatchObject({ jti: decision.evaluation_id })
    expect(await world.receipts()).toHaveLength(2)
    expect(await pingsLeft()).toBe(2)
  })

  it('a batch loses the answers of one agent alone', async () => {
    const pep = await world.pepToken()
    const evaluations = ['clerk', 'helper', 'clerk'].map(id => ({ subject: { type: 'Agent', id } }))
    isolate.meet(async (call, decide) => {
      const reply = await decide(call)
      if (call.agent.includes('clerk')) throw new Error('the connection broke')
      return reply
    })
    const batch = { ...asking('ping'), evaluations }
    const lost = await world.evaluateAll(batch, keyed('k', { token: pep }))
    expect(lost.map(brief)).toEqual(['no: control_unreachable', 'allow: permitted', 'no: control_unreachable'])
    isolate.meet((call, decide) => decide(call))
    const again = await world.evaluateAll(batch, keyed('k', { token: pep }))
    expect(again.map(item => item.decision)).toEqual([true, true, true])
    expect(again[1]).toEqual(lost[1])
    expect(await world.receipts()).toHaveLength(2)
  })
})

describe('an object that does not answer denies', () => {
  it('at the deadline: control_unreachable, on no record as far as is known', async () => {
    await world.evaluate(asking('read'), { token, send: isolate.send })
    const reached = Promise.withResolvers<void>()
    isolate.meet(async (call, decide) => {
      await decide(call)
      reached.resolve()
      return new Promise<never>(() => {})
    })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const answer = world.evaluate(asking('ping'), keyed('k', { send: isolate.sendAndLeave }))
    await reached.promise
    vi.advanceTimersByTime(2_000)
    expect((await answer).context).toMatchObject({ outcome: 'deny', reason: 'control_unreachable', recorded: false })
    vi.useRealTimers()
    isolate.meet((call, decide) => decide(call))
    expect((await world.evaluate(asking('ping'), keyed('k'))).decision).toBe(true)
    expect(await pingsLeft()).toBe(2)
  })

  it('overloaded: with the time to come back', async () => {
    isolate.meet(async () => {
      throw Object.assign(new Error('too many requests are queued'), { overloaded: true })
    })
    const response = await world.post('/access/v1/evaluation', asking('read'), { token, send: isolate.send })
    expect(response.headers.get('retry-after')).toBe('1')
    expect(await response.json()).toMatchObject({
      decision: false,
      context: { reason: 'overloaded', recorded: false, retry_after: 1 },
    })
  })

  it('nothing is tried again of itself, which could take a limit twice', async () => {
    isolate.meet(async () => {
      throw Object.assign(new Error('reset'), { retryable: true })
    })
    expect(brief(await world.evaluate(asking('ping'), { token, send: isolate.send }))).toBe('no: control_unreachable')
    expect(isolate.calls).toHaveLength(1)
  })
})

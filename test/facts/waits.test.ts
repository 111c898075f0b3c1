import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Answer } from '../../src/decision/answer.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { problemIn } from '../http/world.ts'
import { ask, at, createTruth, type TruthWorld, total } from './build.ts'

let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
  token = await world.agentToken()
})

const Wait = v.strictObject({
  evaluation_id: v.string(),
  state: v.string(),
  until: v.string(),
  by: v.optional(v.string()),
})

const waitOf = async ({ context }: Answer, seconds = 0) => {
  const response = await world.send('GET', `${context.wait?.href}?seconds=${seconds}`, undefined, { token })
  expect(response.status).toBe(200)
  return v.parse(Wait, await response.json())
}
const refund = (amount: number, context: Record<string, unknown> = {}) => ask('refund', { amount }, context)
const deferred = async () => {
  const answer = await world.evaluate(refund(5), { token })
  expect(answer.context.outcome).toBe('defer')
  return answer
}

describe('a deferred decision', () => {
  it('is told where to wait and until when; the fact that it lacks wakes it, and it is judged anew', async () => {
    const first = await deferred()
    expect(await waitOf(first)).toMatchObject({ state: 'open', until: first.context.wait?.until })
    await world.push('orders', [total(9_000)])
    expect(await waitOf(first)).toMatchObject({ state: 'ready' })
    const again = await world.evaluate(refund(5, { continues: first.context.evaluation_id }), { token })
    expect(again.context).toMatchObject({ outcome: 'allow', continues: first.context.evaluation_id })
    expect(await waitOf(first)).toMatchObject({ state: 'continued', by: again.context.evaluation_id })
    const receipts = (await world.receipts()).map(({ body }) => JSON.parse(body).decision)
    expect(receipts).toMatchObject([{ outcome: 'defer' }, { continues: first.context.evaluation_id }])
  })

  it('whoever holds the line is told at once', async () => {
    const first = await deferred()
    const held = waitOf(first, 25)
    await world.push('orders', [total(9_000)])
    expect(await held).toMatchObject({ state: 'ready' })
  })

  it('facts of other things, and other facts of the same, wake nobody', async () => {
    const first = await deferred()
    await world.push('orders', [
      total(1, { entity: { type: 'Order', id: '8' } }),
      { ...total(['a']), predicate: 'tags' },
    ])
    expect(await waitOf(first)).toMatchObject({ state: 'open' })
  })

  it('a fact that came between the look and the wait is not missed', async () => {
    const isolate = createIsolate()
    isolate.meet(async (call, decide) => {
      const reply = await decide(call)
      await world.push('orders', [total(9_000)])
      return reply
    })
    const first = await world.evaluate(refund(5), { token, send: isolate.send })
    expect(first.context.outcome).toBe('defer')
    expect(await waitOf(first)).toMatchObject({ state: 'ready' })
  })

  it('one whose word was lost is found when its client asks', async () => {
    const first = await deferred()
    await env.DB.prepare('DELETE FROM fact_waits WHERE tenant = ?').bind(world.tenant).run()
    await world.push('orders', [total(9_000)])
    expect(await waitOf(first)).toMatchObject({ state: 'ready' })
  })

  it('what did not help defers again, and does not wake itself', async () => {
    await world.push('orders', [total(9_000, { valid_until: at(-1_000) })])
    const first = await deferred()
    expect(await waitOf(first)).toMatchObject({ state: 'open' })
    await world.push('mirror', [total(9_000, { valid_until: at(-1_000) })])
    expect(await waitOf(first)).toMatchObject({ state: 'ready' })
    const again = await world.evaluate(refund(5, { continues: first.context.evaluation_id }), { token })
    expect(again.context.outcome).toBe('defer')
    expect(await waitOf(again)).toMatchObject({ state: 'open' })
  })

  it('whose time ends is denied on record, and the denial names it', async () => {
    const first = await deferred()
    clock.advance(600_001)
    await runDurableObjectAlarm(world.object())
    token = await world.agentToken()
    const wait = await waitOf(first)
    expect(wait).toMatchObject({ state: 'expired' })
    const denial = (await world.receipts()).at(-1)
    expect(denial?.kind).toBe('expiry')
    expect(JSON.parse(denial?.body ?? '{}').decision).toMatchObject({
      evaluation_id: wait.by,
      outcome: 'deny',
      reason: 'wait_expired',
      missing: ['facts.orderTotal'],
      continues: first.context.evaluation_id,
    })
    // what is over isn't taken up again, and facts that come now wake nobody
    await world.push('orders', [total(9_000)])
    const late = await world.evaluate(refund(5, { continues: first.context.evaluation_id }), { token })
    expect(late.context).toMatchObject({ outcome: 'allow' })
    expect(late.context).not.toHaveProperty('continues')
    expect(await waitOf(first)).toEqual(wait)
  })

  it('is taken up by the very same action alone', async () => {
    const first = await deferred()
    await world.push('orders', [total(9_000)])
    const other = await world.evaluate(refund(6, { continues: first.context.evaluation_id }), { token })
    expect(other.context).toMatchObject({ outcome: 'allow' })
    expect(other.context).not.toHaveProperty('continues')
    expect(await waitOf(first)).toMatchObject({ state: 'ready' })
  })

  it('is replayed to a retry until its wait has ended, and then judged anew', async () => {
    const headers = { 'idempotency-key': 'k' }
    const first = await world.evaluate(refund(5), { token, headers })
    expect(await world.evaluate(refund(5), { token, headers })).toEqual(first)
    await world.push('orders', [total(9_000)])
    const again = await world.evaluate(refund(5), { token, headers })
    expect(again.context.outcome).toBe('allow')
    expect(await world.evaluate(refund(5), { token, headers })).toEqual(again)
  })

  it("is nobody else's to ask after", async () => {
    const { context } = await deferred()
    const href = context.wait?.href ?? ''
    const as = async (other: string) => world.send('GET', href, undefined, { token: other })
    expect((await problemIn(await as(await world.agentToken('other')))).reason).toBe('subject_mismatch')
    expect((await as(await world.pepToken())).status).toBe(200)
    const unknown = href.replace(/[^/]+$/, crypto.randomUUID())
    expect((await world.send('GET', unknown, undefined, { token })).status).toBe(404)
    expect((await world.send('GET', `${href}?seconds=60`, undefined, { token })).status).toBe(400)
  })
})

describe('an action that comes after others', () => {
  const view = (after: unknown) => ask('view', {}, { after })

  it('proceeds where they are allowed', async () => {
    const { context } = await world.evaluate(ask('view'), { token })
    expect((await world.evaluate(view([context.evaluation_id]), { token })).context.outcome).toBe('allow')
  })

  it('waits while one is deferred, and others proceed; it is woken when that is allowed', async () => {
    const first = await deferred()
    const name = `after.${first.context.evaluation_id}`
    const dependent = await world.evaluate(view([first.context.evaluation_id]), { token })
    expect(dependent.context).toMatchObject({ outcome: 'defer', missing: [{ name, sources: [] }] })
    expect((await world.evaluate(ask('view'), { token })).context.outcome).toBe('allow')
    await world.push('orders', [total(9_000)])
    expect(await waitOf(dependent)).toMatchObject({ state: 'open' })
    const held = waitOf(dependent, 25)
    await world.evaluate(refund(5, { continues: first.context.evaluation_id }), { token })
    expect(await held).toMatchObject({ state: 'ready' })
    const continued = { after: [first.context.evaluation_id], continues: dependent.context.evaluation_id }
    const again = await world.evaluate(ask('view', {}, continued), { token })
    expect(again.context).toMatchObject({ outcome: 'allow', continues: dependent.context.evaluation_id })
  })

  it('falls with one that is denied, that nobody knows, or whose wait ended', async () => {
    const denied = await world.evaluate(refund(1_000_001), { token })
    const outcomes = async (id: string) => (await world.evaluate(view([id]), { token })).context
    expect(await outcomes(denied.context.evaluation_id)).toMatchObject({ outcome: 'deny', reason: 'dependency_denied' })
    expect(await outcomes(crypto.randomUUID())).toMatchObject({ reason: 'dependency_denied' })
    const first = await deferred()
    const dependent = await world.evaluate(view([first.context.evaluation_id]), { token })
    clock.advance(600_001)
    token = await world.agentToken()
    await runDurableObjectAlarm(world.object())
    expect(await outcomes(first.context.evaluation_id)).toMatchObject({ reason: 'dependency_denied' })
    expect((await waitOf(dependent)).state).toBe('expired')
  })

  it('what is no list of evaluations does not fit', async () => {
    for (const after of ['x', ['x'], [1], Array.from({ length: 17 }, () => crypto.randomUUID())]) {
      expect((await world.evaluate(view(after), { token })).context).toMatchObject({
        reason: 'schema_mismatch',
        problems: [{ pointer: '/context/after' }],
      })
    }
  })
})

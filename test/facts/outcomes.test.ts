import { env } from 'cloudflare:workers'
import { beforeEach, describe, expect, it } from 'vitest'
import type { StoredReceipt } from '../../src/audit/receipt.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { problemIn } from '../http/world.ts'
import { ask, at, createTruth, type TruthWorld } from './build.ts'

let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
  token = await world.agentToken()
})

/** What the bank says of a payout, now. */
const status = (value: string, more: Record<string, unknown> = {}) => ({
  entity: { type: 'Payout', id: 'p-1' },
  predicate: 'status',
  value,
  observed_at: at(0),
  ...more,
})
const pay = async (amount: number, context: Record<string, unknown> = {}, payout = 'p-1') => {
  const answer = await world.evaluate(ask('pay', { payout, amount }, context), { token })
  // facts tell of what was decided before they were observed
  clock.advance(10)
  return answer.context
}
const report = (id: string, outcome: string, by: string) =>
  world.post(`/v1/decisions/${id}/outcome`, { outcome, subject: { type: 'Agent', id: 'clerk' } }, { token: by })
const outcomes = async () =>
  (await world.receipts()).filter(({ kind }) => kind === 'outcome').map(({ body }) => JSON.parse(body))
const secretsOf = (receipt: StoredReceipt | undefined) => JSON.parse(receipt?.secrets ?? '{}')

describe('a fact that tells the outcome of an action', () => {
  it('settles it: on record with the fact, once, and nobody contradicts it', async () => {
    const { evaluation_id } = await pay(60)
    const facts = [status('paid')]
    const [stated] = await world.push('bank', facts)
    const settled = (await world.receipts()).at(-1)
    expect(settled?.kind).toBe('outcome')
    expect(JSON.parse(settled?.body ?? '')).toMatchObject({
      of: { evaluation_id, seq: 1 },
      outcome: 'done',
      claim: false,
    })
    expect(secretsOf(settled)).toMatchObject({
      caller: { value: 'bank' },
      fact: { value: { name: 'payout', id: stated?.id, hash: stated?.hash } },
    })
    await world.push('bank', facts)
    await world.push('bank', [status('paid')])
    expect(await outcomes()).toHaveLength(1)
    expect((await report(evaluation_id, 'not_done', await world.pepToken())).status).toBe(409)
  })

  it.each([
    ['cancelled', 'not_done', 'allow'],
    ['returned', 'failed', 'deny'],
    ['paid', 'done', 'deny'],
  ])('frees what was reserved only where nothing was done: %s is %s', async (value, outcome, then) => {
    await pay(100)
    expect(await pay(1, {}, 'p-2')).toMatchObject({ reason: 'budget_exhausted' })
    await world.push('bank', [status(value)])
    expect(await outcomes()).toMatchObject([{ outcome, ...(outcome === 'not_done' && { freed: 100 }) }])
    expect(await pay(100, {}, 'p-2')).toMatchObject({ outcome: then })
  })

  it('does not count where it was observed before the decision', async () => {
    const early = status('paid')
    clock.advance(1_000)
    await pay(1)
    await world.push('bank', [early])
    expect(await outcomes()).toEqual([])
    await world.push('bank', [status('paid')])
    expect(await outcomes()).toHaveLength(1)
  })

  it('settles nothing where it is of another thing, says nothing yet, or is disputed', async () => {
    await pay(1)
    await world.push('bank', [status('paid', { entity: { type: 'Payout', id: 'p-2' } })])
    await world.push('bank', [status('sent')])
    await world.push('ledger', [status('paid')])
    expect(await outcomes()).toEqual([])
    clock.advance(10)
    await world.push('bank', [status('paid')])
    expect(await outcomes()).toMatchObject([{ outcome: 'done' }])
  })

  it('that came between the decision and its entry is not missed', async () => {
    const isolate = createIsolate()
    isolate.meet(async (call, decide) => {
      const reply = await decide(call)
      clock.advance(10)
      await world.push('bank', [status('paid')])
      return reply
    })
    await world.evaluate(ask('pay', { payout: 'p-1', amount: 1 }), { token, send: isolate.send })
    expect(await outcomes()).toMatchObject([{ outcome: 'done' }])
  })

  it('is told again where the agent was out of reach', async () => {
    await pay(1)
    const facts = [status('paid')]
    const AGENT = new Proxy(env.AGENT, {
      get: (target, name) => {
        if (name === 'getByName') throw new Error('out of reach')
        return Reflect.get(target, name)
      },
    })
    await world.push('bank', facts, createIsolate({}, { AGENT }).send)
    expect(await outcomes()).toEqual([])
    await world.push('bank', facts)
    expect(await outcomes()).toMatchObject([{ outcome: 'done' }])
  })
})

describe('after an unknown outcome the same intent is refused', () => {
  beforeEach(async () => {
    const { evaluation_id } = await pay(1)
    await report(evaluation_id, 'unknown', token)
    clock.advance(10)
    expect(await pay(1)).toMatchObject({ outcome: 'deny', reason: 'outcome_unknown' })
  })

  it('until a fact settles it', async () => {
    await world.push('bank', [status('returned')])
    expect(await pay(1)).toMatchObject({ outcome: 'allow' })
    expect(await outcomes()).toMatchObject([
      { outcome: 'unknown', claim: true },
      { outcome: 'failed', claim: false },
    ])
  })

  it('until one that its agent carries does, in one and the same call', async () => {
    const attestation = await world.attest('bank', [status('returned')])
    const isolate = createIsolate()
    const settled = { attestations: [attestation] }
    await world.evaluate(ask('view'), { token, send: isolate.send })
    isolate.uses()
    const asked = ask('pay', { payout: 'p-1', amount: 1 }, settled)
    expect((await world.evaluate(asked, { token, send: isolate.send })).context.outcome).toBe('allow')
    expect(isolate.uses().filter(use => use.startsWith('object'))).toEqual(['object decide'])
    const kinds = (await world.receipts()).map(({ kind }) => kind)
    expect(kinds.slice(-2)).toEqual(['outcome', 'decision'])
  })

  it('until the request itself finds one in the ledger, whose word was lost', async () => {
    await env.DB.prepare('DELETE FROM outcome_waits WHERE tenant = ?').bind(world.tenant).run()
    await world.push('bank', [status('returned')])
    expect(await outcomes()).toHaveLength(1)
    expect(await pay(1)).toMatchObject({ outcome: 'allow' })
    expect(await outcomes()).toMatchObject([{}, { outcome: 'failed' }])
  })

  it('until a tool or a human does: not the agent, nor an approver', async () => {
    const { evaluation_id } = (await world.receipts()).map(({ body }) => JSON.parse(body).decision)[0]
    expect(await problemIn(await report(evaluation_id, 'failed', token))).toMatchObject({ reason: 'outcome_settled' })
    const approver = await world.token({ sub: 'ann', roles: ['approver'], user: { type: 'User', id: 'ann' } })
    expect((await report(evaluation_id, 'failed', approver)).status).toBe(403)
    expect(await pay(1)).toMatchObject({ reason: 'outcome_unknown' })
    const admin = await world.token({ sub: 'root', roles: ['admin'] })
    expect((await report(evaluation_id, 'failed', admin)).status).toBe(200)
    expect(await pay(1)).toMatchObject({ outcome: 'allow' })
    expect((await outcomes()).at(-1)).toMatchObject({ outcome: 'failed', claim: false })
  })

  it('and not by what was observed before the decision', async () => {
    await world.push('bank', [status('returned', { observed_at: at(-60_000) })])
    expect(await pay(1)).toMatchObject({ reason: 'outcome_unknown' })
  })
})

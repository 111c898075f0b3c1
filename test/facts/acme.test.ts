import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { at, createTruth, type TruthWorld } from './build.ts'

/** The example tenant's store credits, from end to end. Amounts are in cents. */
let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth({ folder: 'acme' })
  token = await supportBot()
})

const supportBot = () => world.agentToken('support-bot', { user: { type: 'User', id: 'ada' } })

const credit = (amount: number, context: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'support-bot' },
  action: { name: 'issueCredit', properties: { amount } },
  resource: { type: 'Order', id: 'o-1001' },
  context,
})
const stated = (predicate: string, value: unknown, more: Record<string, unknown> = {}) => ({
  entity: { type: 'Order', id: 'o-1001' },
  predicate,
  value,
  observed_at: at(-60_000),
  ...more,
})

describe('a support agent credits an order', () => {
  it('claims that it came to 900 where the order system says 90: refused, with the contradiction shown', async () => {
    await world.push('order-system', [stated('total', 9_000, { evidence: 'https://orders.acme.example/o-1001' })])
    const lie = credit(1_500, { claims: { orderTotal: { value: 900, unit: 'EUR' } } })
    const { decision, context } = await world.evaluate(lie, { token })
    expect(decision).toBe(false)
    expect(context).toMatchObject({
      outcome: 'deny',
      reason: 'claim_contradicted',
      recorded: true,
      claims: [
        {
          name: 'orderTotal',
          status: 'contradicted',
          claimed: { value: 900, unit: 'EUR' },
          facts: [{ source: 'order-system', value: 9_000, evidence: 'https://orders.acme.example/o-1001' }],
        },
      ],
    })
    const honest = credit(1_500, { claims: { orderTotal: { value: 90, unit: 'EUR' } } })
    expect((await world.evaluate(honest, { token })).context).toMatchObject({
      outcome: 'allow',
      claims: [{ status: 'verified' }],
    })
    expect((await world.evaluate(credit(9_001), { token })).decision).toBe(false)
  })

  it('on a total that is stale: deferred, until the order system has looked again', async () => {
    await world.push('order-system', [stated('total', 9_000, { observed_at: at(-3_700_000) })])
    const first = await world.evaluate(credit(1_500), { token })
    expect(first.context).toMatchObject({
      outcome: 'defer',
      missing: [{ name: 'facts.orderTotal', sources: ['order-system', 'webshop'] }],
    })
    await world.push('order-system', [stated('total', 9_000)])
    const again = await world.evaluate(credit(1_500, { continues: first.context.evaluation_id }), { token })
    expect(again.context).toMatchObject({ outcome: 'allow', continues: first.context.evaluation_id })
  })

  it('on a total that two systems dispute: deferred, and the claim does not settle it', async () => {
    await world.push('order-system', [stated('total', 9_000)])
    await world.push('webshop', [stated('total', 90_000)])
    const claiming = credit(1_500, { claims: { orderTotal: 90_000 } })
    const { context } = await world.evaluate(claiming, { token })
    expect(context).toMatchObject({ outcome: 'defer', claims: [{ name: 'orderTotal', status: 'disputed' }] })
    expect(context.claims?.[0]?.facts.map(({ source, value }) => [source, value])).toEqual([
      ['webshop', 90_000],
      ['order-system', 9_000],
    ])
  })

  it('with an attestation of the payment provider, and a total at hand: no D1 read', async () => {
    const isolate = createIsolate()
    const send = isolate.send
    await world.push('order-system', [stated('total', 9_000)])
    await world.evaluate(credit(1_500), { token, send })
    isolate.uses()
    const calm = await world.attest('payments', [stated('chargeback', false)])
    const { context } = await world.evaluate(credit(5_000, { attestations: [calm] }), { token, send })
    expect(context.outcome).toBe('allow')
    expect(isolate.uses()).toEqual(['object decide'])
    const alarmed = await world.attest('payments', [stated('chargeback', true)])
    expect((await world.evaluate(credit(5_000, { attestations: [alarmed] }), { token, send })).context).toMatchObject({
      outcome: 'deny',
      reason: 'forbidden',
      policies: ['credit-chargeback'],
    })
  })

  it('where nobody knows of a chargeback: below 20.00 it does not matter, above it is waited for', async () => {
    await world.push('order-system', [stated('total', 9_000)])
    expect((await world.evaluate(credit(2_000), { token })).context.outcome).toBe('allow')
    expect((await world.evaluate(credit(2_001), { token })).context).toMatchObject({
      outcome: 'defer',
      missing: [{ name: 'facts.chargeback', sources: ['payments'] }],
    })
  })
})

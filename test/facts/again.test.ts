import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { problemIn } from '../http/world.ts'
import { ask, at, createTruth, type TruthWorld, total } from './build.ts'

let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
  token = await world.agentToken()
})

const Again = v.object({
  recorded: v.object({ outcome: v.string(), reason: v.string() }),
  again: v.object({ outcome: v.string(), reason: v.string() }),
  same: v.boolean(),
  hangs_on_state: v.boolean(),
  facts: v.array(v.object({ name: v.string(), status: v.string() })),
})

const flush = async () => {
  clock.advance(2_000)
  await runDurableObjectAlarm(world.object())
}
const get = async (id: string) =>
  world.send('GET', `/v1/decisions/${id}/again`, undefined, { token: await world.token({ roles: ['auditor'] }) })
const judgedAgain = async (id: string) => {
  const response = await get(id)
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return v.parse(Again, await response.json())
}

describe('a decision judged again from its receipt', () => {
  it('comes out the same after the facts have changed', async () => {
    await world.push('orders', [total(9_000)])
    const asks = [
      ask('refund', { amount: 5_000 }),
      ask('refund', { amount: 9_001 }),
      ask('refund', { amount: 1 }, { claims: { orderTotal: 90_000 } }),
      ask('refund', { amount: 1 }, { claims: { orderTotal: { value: 90, unit: 'EUR' }, colour: 'red' } }),
      ask('refund', { amount: 1 }, {}, '8'),
      ask('refund', { amount: 1 }, { claims: { orderTotal: 'much' } }),
      ask('refund', { amount: 'much' }),
      ask('refund', { amount: 1_000_001 }),
      ask('note', { text: 'x' }, { claims: { roughTotal: 1 } }),
      ask('close'),
      ask('enter'),
      ask('view'),
      ask('fly'),
    ]
    const answers = []
    for (const one of asks) answers.push(await world.evaluate(one, { token }))
    const carried = await world.attest('orders', [total(9_000, { entity: { type: 'Order', id: '9' } })])
    answers.push(await world.evaluate(ask('refund', { amount: 1 }, { attestations: [carried] }, '9'), { token }))
    // everything that was said is taken back, and another bundle is active
    await world.push('orders', [total(1, { observed_at: at(0) })])
    await world.push('mirror', [total(2, { observed_at: at(0) })])
    await world.pushBundle(bundle => {
      const { view: _, ...staticPolicies } = bundle.policies.staticPolicies ?? {}
      bundle.policies = { ...bundle.policies, staticPolicies }
    })
    await flush()
    clock.advance(31_000)
    for (const { context } of answers) {
      const { recorded, again, same } = await judgedAgain(context.evaluation_id)
      expect(recorded).toMatchObject({ outcome: context.outcome, reason: context.reason })
      expect(again).toEqual(recorded)
      expect(same).toBe(true)
    }
    expect(new Set(answers.map(({ context }) => context.reason)).size).toBeGreaterThan(6)
    // today it would be another decision
    const today = await world.evaluate(ask('refund', { amount: 5_000 }), { token: await world.agentToken() })
    expect(today.context.outcome).toBe('defer')
  })

  it('tells the facts that it relied upon, with where each came from', async () => {
    const [pushed] = await world.push('orders', [total(9_000)])
    const { context } = await world.evaluate(ask('refund', { amount: 5_000 }), { token })
    await flush()
    expect((await judgedAgain(context.evaluation_id)).facts).toMatchObject([{ name: 'orderTotal', status: 'known' }])
    const response = await get(context.evaluation_id)
    expect(await response.json()).toMatchObject({
      facts: [{ facts: [{ id: pushed?.id, hash: pushed?.hash, source: 'orders', from: 'ledger' }] }],
    })
  })

  it('says so where it hung on what the receipt does not hold', async () => {
    const first = await world.evaluate(ask('refund', { amount: 1 }), { token })
    const dependent = await world.evaluate(ask('view', {}, { after: [first.context.evaluation_id] }), { token })
    await flush()
    expect(await judgedAgain(dependent.context.evaluation_id)).toMatchObject({ same: false, hangs_on_state: true })
    expect(await judgedAgain(first.context.evaluation_id)).toMatchObject({ same: true, hangs_on_state: false })
  })

  it('a PEP’s word that it rested on is part of it', async () => {
    const pep = await world.pepToken()
    await world.push('orders', [total(9_000)])
    const { context } = await world.evaluate(ask('refund', { amount: 1 }, { claims: { orderTotal: 9_000 } }), {
      token: pep,
    })
    await flush()
    expect(await judgedAgain(context.evaluation_id)).toMatchObject({ same: true, again: { outcome: 'allow' } })
  })

  it('cannot be where what it rested on was erased, and is not where there is no decision', async () => {
    const { context } = await world.evaluate(ask('view'), { token })
    await flush()
    await env.DB.prepare("UPDATE receipts SET secrets = '{}' WHERE evaluation_id = ?").bind(context.evaluation_id).run()
    expect((await problemIn(await get(context.evaluation_id))).reason).toBe('erased')
    expect((await problemIn(await get(crypto.randomUUID()))).reason).toBe('not_found')
  })
})

import { env } from 'cloudflare:workers'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import type { PolicyJson } from '../../src/cedar/json.ts'
import { contentHash } from '../../src/durable/hash.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { APPLIES_OBLIGATIONS, comply } from '../../src/sdk/index.ts'
import { clock } from '../clock.ts'
import { createWorld, refund, type World } from '../http/world.ts'

beforeEach(() => clock.reset())

type Body = PolicyJson['conditions'][number]['body']

/** Puts permits of refunds in place of the fixture's, by their annotations and conditions. */
const permits =
  (...given: { annotations: Record<string, string>; when?: Body }[]) =>
  (bundle: Bundle): void => {
    const { 'agents-refund': _, ...rest } = bundle.policies.staticPolicies ?? {}
    const staticPolicies: Record<string, PolicyJson> = { ...rest }
    const all = { op: 'All' } as const
    for (const [n, { annotations, when }] of given.entries()) {
      const id = `p${n}`
      const action = { op: '==', entity: { type: 'Action', id: 'refund' } } as const
      const conditions = when ? [{ kind: 'when', body: when } as const] : []
      const policy: PolicyJson = {
        effect: 'permit',
        principal: all,
        action,
        resource: all,
        conditions,
        annotations: { id, ...annotations },
      }
      staticPolicies[id] = policy
      bundle.texts[id] = { text: '', hash: contentHash(policy) }
    }
    bundle.policies = { ...bundle.policies, staticPolicies }
  }

const amount: Body = { '.': { left: { '.': { left: { Var: 'context' }, attr: 'arguments' } }, attr: 'amount' } }
const over = (n: number): Body => ({ '>': { left: amount, right: { Value: n } } })
const declared = { context: APPLIES_OBLIGATIONS }

const evaluate = async (change: (bundle: Bundle) => void, ask: unknown, world?: World) => {
  const own = world ?? (await createWorld({ change }))
  return own.evaluate(ask, { token: await own.agentToken() })
}
const refunding = (n: number, more: Record<string, unknown> = declared) => ({ ...refund(n), ...more })

describe('what a permit rewrites', () => {
  const clamping = permits({ annotations: { clamp: 'arguments.amount <= 300' } })

  it('is applied before forbids are judged, and the permit is for what came of it', async () => {
    const world = await createWorld({ change: clamping })
    const { decision, context } = await evaluate(clamping, refunding(800), world)
    expect(decision).toBe(true)
    expect(context).toMatchObject({
      outcome: 'modify',
      reason: 'rewritten',
      arguments: { amount: 300 },
      obligations: [
        {
          id: 'arguments',
          type: 'custom',
          properties: { vendor: 'countersign', action: 'arguments', arguments: { amount: 300 } },
        },
      ],
    })
    const { payload } = await jwtVerify(context.permit ?? '', createLocalJWKSet(await jwks()))
    expect(payload.arguments_hash).toBe(contentHash({ amount: 300 }))
    expect(comply(context, { amount: 800 })?.arguments).toEqual({ amount: 300 })
  })

  it('is the same action as one that was asked for like that', async () => {
    const world = await createWorld({ change: clamping })
    const [changed, plain] = [
      await evaluate(clamping, refunding(800), world),
      await evaluate(clamping, refunding(300), world),
    ]
    expect(plain.context.outcome).toBe('allow')
    expect(decodeJwt(changed.context.permit ?? '').action_hash).toBe(decodeJwt(plain.context.permit ?? '').action_hash)
  })

  it('is only offered to who did not say that it applies it, and costs nothing', async () => {
    for (const context of [
      undefined,
      {},
      { supported_obligations: [] },
      { supported_obligations: ['notification'] },
      { supported_obligations: 'custom' },
    ]) {
      const answer = await evaluate(clamping, refunding(800, { ...(context && { context }) }))
      expect(answer).toMatchObject({
        decision: false,
        context: { outcome: 'deny', reason: 'modify_offered', arguments: { amount: 300 } },
      })
      expect(answer.context).not.toHaveProperty('obligations')
    }
    // Asked again with what was offered it is allowed.
    expect((await evaluate(clamping, refunding(300, {}))).context.outcome).toBe('allow')
  })

  it('leaves alone what is within bounds', async () => {
    const both = permits({ annotations: { clamp: 'arguments.amount <= 300, arguments.amount >= 10' } })
    expect((await evaluate(both, refunding(10))).context.outcome).toBe('allow')
    expect((await evaluate(both, refunding(3))).context.arguments).toEqual({ amount: 10 })
  })

  it('keeps the other arguments, and is on record beside what was asked', async () => {
    const setting = permits({ annotations: { set: 'arguments.amount = 5' } })
    const world = await createWorld({ change: setting })
    const { context } = await evaluate(setting, { ...refund(7, { rate: 1.5 }), ...declared }, world)
    expect(context.arguments).toEqual({ amount: 5, rate: 1.5 })
    const [receipt] = await world.receipts()
    expect(JSON.parse(receipt?.body ?? '').decision.rewrite).toEqual({ set: { amount: 5 }, mask: [] })
    expect(JSON.parse(receipt?.secrets ?? '').arguments.value).toEqual({ amount: 7, rate: 1.5 })
  })

  it('of all true permits counts, of others none', async () => {
    const several = permits(
      { annotations: { clamp: 'arguments.amount <= 300' } },
      { annotations: { clamp: 'arguments.amount <= 200' } },
      { annotations: { set: 'arguments.amount = 1' }, when: over(10_000) },
    )
    expect((await evaluate(several, refunding(400))).context.arguments).toEqual({ amount: 200 })
  })

  it.each([
    ['two values for one argument', { set: 'arguments.amount = 5' }, { set: 'arguments.amount = 6' }],
    ['bounds without room between', { clamp: 'arguments.amount <= 5' }, { clamp: 'arguments.amount >= 6' }],
    ['a value out of bounds', { set: 'arguments.amount = 9' }, { clamp: 'arguments.amount <= 8' }],
  ])('that contradicts itself denies: %s', async (_, one, other) => {
    const change = permits({ annotations: one }, { annotations: other })
    expect((await evaluate(change, refunding(7))).context).toMatchObject({
      outcome: 'deny',
      reason: 'rewrite_conflict',
    })
  })

  it('that would be rewritten again denies', async () => {
    const change = permits(
      { annotations: { clamp: 'arguments.amount <= 400' } },
      { annotations: { set: 'arguments.amount = 1' }, when: { '!': { arg: over(400) } } },
    )
    expect((await evaluate(change, refunding(450))).context).toMatchObject({
      outcome: 'deny',
      reason: 'rewrite_unstable',
    })
  })

  it('into what no permit covers is not permitted', async () => {
    const change = permits({ annotations: { set: 'arguments.amount = 1' }, when: over(100) })
    expect((await evaluate(change, refunding(450))).context).toMatchObject({
      outcome: 'deny',
      reason: 'not_permitted',
    })
  })

  it('retried is the same, even under policies that no longer rewrite', async () => {
    const world = await createWorld({ change: clamping })
    const headers = { 'idempotency-key': 'k' }
    const token = await world.agentToken()
    const first = await world.evaluate(refunding(800), { token, headers })
    await world.push(permits({ annotations: { clamp: 'arguments.amount <= 50' } }))
    clock.advance(10_000)
    await world.evaluate(refunding(800), { token })
    const again = await world.evaluate(refunding(800), { token, headers })
    expect(again.context.arguments).toEqual({ amount: 300 })
    expect(decodeJwt(again.context.permit ?? '')).toEqual(decodeJwt(first.context.permit ?? ''))
  })
})

describe('a mask', () => {
  const masking = permits({ annotations: { mask: 'resource.ssn, resource.card.number' } })

  it('comes as an obligation, which the SDK applies', async () => {
    const { decision, context } = await evaluate(masking, refunding(5))
    expect(decision).toBe(true)
    expect(context).toMatchObject({ outcome: 'modify', mask: ['card.number', 'ssn'] })
    expect(context).not.toHaveProperty('arguments')
    const keepBack = comply(context)?.keepBack
    const row = { id: 1, ssn: '078-05-1120', card: { number: '4111', kind: 'visa' } }
    expect(keepBack?.([row, { id: 2 }])).toEqual([
      { id: 1, ssn: null, card: { number: null, kind: 'visa' } },
      { id: 2 },
    ])
    expect(row.ssn).toBe('078-05-1120')
  })

  it('is offered to who did not declare, with its fields', async () => {
    expect(await evaluate(masking, refunding(5, {}))).toMatchObject({
      decision: false,
      context: { reason: 'modify_offered', mask: ['card.number', 'ssn'] },
    })
  })

  it('holds for filters: for all rows, and for who declared alone', async () => {
    const world = await createWorld({ change: masking })
    const token = await world.agentToken()
    const scope = async (context?: object) => {
      const asked = { ...refunding(5, { ...(context && { context }) }), resource: { type: 'Order' } }
      return (await world.post('/v1/scope', asked, { token })).json()
    }
    expect(await scope()).toMatchObject({ scope: 'never' })
    expect(await scope(APPLIES_OBLIGATIONS)).toMatchObject({ scope: 'always', mask: ['card.number', 'ssn'] })
  })
})

describe('the SDK', () => {
  it.each([
    [{ obligations: [{ id: 'x', type: 'step-up', properties: {} }] }],
    [{ obligations: [{ id: 'x', type: 'custom', properties: { vendor: 'other', action: 'mask', fields: [] } }] }],
    [{ obligations: [{ id: 'x', type: 'custom', properties: { vendor: 'countersign', action: 'dance' } }] }],
    [
      {
        obligations: [{ id: 'x', type: 'custom', properties: { vendor: 'countersign', action: 'mask', fields: [5] } }],
      },
    ],
    [{ obligations: [null] }],
    [{ obligations: {} }],
  ])('does not comply with what it does not know: %j', context => {
    expect(comply(context)).toBeUndefined()
  })

  it('without obligations does as asked', () => {
    const compliance = comply({}, { amount: 5 })
    expect(compliance?.arguments).toEqual({ amount: 5 })
    expect(compliance?.keepBack({ ssn: 1 })).toEqual({ ssn: 1 })
  })
})

it('the metadata says which obligations there are', async () => {
  const world = await createWorld()
  const url = `${env.ORIGIN}/.well-known/authzen-configuration/${world.tenant}`
  expect(await (await world.send('GET', url, undefined)).json()).toMatchObject({ supported_obligations: ['custom'] })
})

const jwks = async () => {
  const world = await createWorld()
  return (await world.send('GET', '/.well-known/jwks.json', undefined)).json<{ keys: [] }>()
}

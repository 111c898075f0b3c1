import { evictDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import type { DecideItem } from '../../src/agent/calls/decide.ts'
import { broken, mend } from '../doubles.ts'
import { hangsOn, leg, program, rule } from '../settle/build.ts'
import { callOf, chainOf, decided, decideOne, denying, item, limited, newAgent, T0 } from './build.ts'

afterEach(mend)

const keyed = (key: string, more: Partial<DecideItem> = {}): DecideItem =>
  item({ idempotency: { key, requestHash: 'request' }, ...more })

describe('a retry is the same decision', () => {
  it('though the object committed and the answer was lost: nothing is taken twice', async () => {
    const agent = newAgent()
    const first = keyed('k', { program: limited(1) })
    broken.answers = true
    await expect(decided(agent, first)).rejects.toThrow('lost')
    mend()
    await evictDurableObject(agent.stub)

    const again = await decided(agent, keyed('k', { program: limited(1) }), { now: T0 + 5_000 })
    expect(again).toMatchObject({
      outcome: 'allow',
      evaluationId: first.evaluationId,
      at: T0,
      expiresAt: T0 + 60_000,
      policies: ['permit'],
      receipt: { seq: 1 },
      replayed: true,
    })
    expect(await chainOf(agent)).toHaveLength(1)
    expect(await decided(agent, item({ program: limited(1) }))).toMatchObject({ reason: 'rate_limited' })
  })

  it('also where it was a denial, which costs no second attempt', async () => {
    const agent = newAgent()
    const attempts = { capacity: 1, windowMs: 60_000 }
    const denied: Partial<DecideItem> = { denied: { reason: 'schema_mismatch', problems: [] } }
    const first = await decided(agent, keyed('k', denied), { attempts })
    expect(await decided(agent, keyed('k', denied), { attempts })).toEqual({ ...first, replayed: true })
  })

  it('under 50 concurrent retries', async () => {
    const agent = newAgent()
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => decided(agent, keyed('k', { program: limited(5) }))),
    )
    expect(new Set(answers.map(({ evaluationId }) => evaluationId)).size).toBe(1)
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
    expect(await chainOf(agent)).toHaveLength(1)
  })

  it('also where the policies have changed since', async () => {
    const agent = newAgent()
    await decided(agent, keyed('k'))
    await decided(agent, item(), { bundle: { seq: 2, hash: 'bundle-2' } })
    expect(await decided(agent, keyed('k', { program: denying }))).toMatchObject({
      outcome: 'allow',
      bundle: 'bundle-1',
    })
  })

  it('each item of a batch for itself', async () => {
    const agent = newAgent()
    const batch = () => callOf(agent, [keyed('k0'), keyed('k1', { program: denying })])
    const first = await agent.stub.decide(batch())
    expect(await agent.stub.decide(batch())).toEqual(first.map(answer => ({ ...answer, replayed: true })))
  })
})

it('a key that comes with another request is refused', async () => {
  const agent = newAgent()
  await decided(agent, keyed('k'))
  const other = item({ idempotency: { key: 'k', requestHash: 'another' } })
  expect(await decideOne(agent, other)).toEqual({ kind: 'idempotency_mismatch' })
  expect(await chainOf(agent)).toHaveLength(1)
})

it('answers are kept at least as long as the permit lives, and not for ever', async () => {
  const agent = newAgent()
  const long = 20 * 60_000
  await decided(agent, keyed('short'))
  await decided(agent, keyed('long', { permitMs: long }))
  const at = async (key: string, now: number) => (await decided(agent, keyed(key), { now })).replayed ?? false
  expect(await at('short', T0 + 60_000)).toBe(true)
  expect(await at('long', T0 + long - 1)).toBe(true)
  expect(await at('short', T0 + long)).toBe(false)
})

it('an answer that waits is not replayed once a new one may be had', async () => {
  const agent = newAgent()
  const waits = program(leg({ permits: [rule('p', { when: hangsOn('total') })] }))
  await decided(agent, keyed('k', { program: waits }))
  expect(await decided(agent, keyed('k'), { now: T0 + 59_999 })).toMatchObject({ outcome: 'defer', replayed: true })
  expect(await decided(agent, keyed('k'), { now: T0 + 60_000 })).toMatchObject({ outcome: 'allow' })
})

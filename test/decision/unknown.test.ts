import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { decodeJwt } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Tenant } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { brief, createWorld, refund, type World } from '../http/world.ts'

/** After an unknown outcome the same thing isn't done again, however it is written. */

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => clock.reset())

type Arguments = Record<string, unknown>
const asked = async (args: Arguments, at = world) => at.evaluate(refund(5, args), { token: await at.agentToken() })
const briefly = async (args: Arguments, at = world) => brief(await asked(args, at))
const report = async (id: string, outcome: string, at = world) => {
  const subject = { type: 'Agent', id: 'clerk' }
  const token = await at.pepToken()
  const response = await at.post(`/v1/decisions/${id}/outcome`, { outcome, subject }, { token })
  expect(response.status).toBe(200)
}
/** Done, and nobody knows with what outcome. */
const unknown = async (args: Arguments, at = world) => {
  const { context } = await asked(args, at)
  expect(context.outcome).toBe('allow')
  await report(context.evaluation_id, 'unknown', at)
  return context.evaluation_id
}

const spellings: [string, Arguments, Arguments[], Arguments[]][] = [
  [
    'a decimal',
    { rate: '1.5' },
    [{ rate: 1.5 }, { rate: '1.50' }, { rate: '1.5000' }, { rate: '01.5' }],
    [{ rate: '1.5001' }, { rate: '-1.5' }, { rate: 15 }, {}],
  ],
  ['a whole decimal', { rate: 2 }, [{ rate: '2.0' }, { rate: '2.0000' }], [{ rate: '20.0' }]],
  ['nothing', { rate: '-0.0' }, [{ rate: 0 }, { rate: '0.0' }, { rate: -0 }], [{ rate: '0.0001' }]],
  [
    'a moment',
    { since: '2026-01-31' },
    [
      { since: '2026-01-31T00:00:00Z' },
      { since: '2026-01-31T00:00:00.000Z' },
      { since: '2026-01-31T01:30:00+0130' },
      { since: '2026-01-30T19:00:00-0500' },
    ],
    [{ since: '2026-01-31T00:00:00.001Z' }, { since: '2026-01-31T00:00:00+0130' }],
  ],
  [
    'a length of time',
    { within: '1d12h' },
    [{ within: '36h' }, { within: '1d720m' }, { within: '129600000ms' }],
    [{ within: '-36h' }, { within: '36h1ms' }],
  ],
  [
    'an address',
    { from: '2001:db8::1' },
    [{ from: '2001:DB8:0:0:0:0:0:1' }, { from: '2001:0db8::0001/128' }],
    [{ from: '2001:db8::1/127' }, { from: '2001:db8::2' }],
  ],
  ['an address of four', { from: '10.0.0.1' }, [{ from: '10.0.0.1/32' }], [{ from: '10.0.0.1/31' }]],
  [
    'a set',
    { tags: ['a', 'b'] },
    [{ tags: ['b', 'a'] }, { tags: ['a', 'b', 'a'] }],
    [{ tags: ['a'] }, { tags: ['ab'] }, { tags: ['a', 'b', 'c'] }],
  ],
  [
    'a set of decimals',
    { rates: ['1.0', '2.0'] },
    [{ rates: [2, 1] }, { rates: ['1.0', '1.00', '2.000'] }],
    [{ rates: ['1.0'] }, { rates: [1, 2, 3] }],
  ],
  [
    'one inside a record',
    { 'odd/na~me': { deep: true, rate: '1.0' } },
    [{ 'odd/na~me': { rate: 1, deep: true } }],
    [{ 'odd/na~me': { rate: 1, deep: false } }, { 'odd/na~me': { deep: true } }],
  ],
  [
    'what has one spelling beside it',
    { rate: '1.0', ticket: { type: 'Order', id: '1.0' }, tags: ['1.0'] },
    [{ rate: '1.00', ticket: { id: '1.0', type: 'Order' }, tags: ['1.0'] }],
    [
      { rate: '1.0', ticket: { type: 'Order', id: '1.00' }, tags: ['1.0'] },
      { rate: '1.0', tags: ['1.00'] },
    ],
  ],
]

it.each(spellings)('%s in another spelling is held back, another value is not', async (_, first, same, others) => {
  const id = await unknown(first)
  for (const args of [first, ...same]) expect(await briefly(args), JSON.stringify(args)).toBe('no: outcome_unknown')
  for (const args of others) expect(await briefly(args), JSON.stringify(args)).toBe('allow: permitted')
  await report(id, 'failed')
  for (const args of [first, ...same]) expect(await briefly(args), JSON.stringify(args)).toBe('allow: permitted')
})

it.each(spellings)('%s: whichever spelling came first', async (_, first, [same = {}], others) => {
  await unknown(same)
  expect(await briefly(first)).toBe('no: outcome_unknown')
  for (const args of others) expect(await briefly(args), JSON.stringify(args)).toBe('allow: permitted')
})

it('a number is what it is, not how it is written', async () => {
  await unknown({})
  const send = async (amount: string) => {
    const body = JSON.stringify(refund('AMOUNT')).replace('"AMOUNT"', amount)
    const token = await world.agentToken()
    const response = await world.send('POST', '/access/v1/evaluation', body, { token })
    return ((await response.json()) as { context: { reason: string } }).context.reason
  }
  for (const amount of ['5', '5.0', '5e0', '0.5e1', '50e-1']) expect(await send(amount), amount).toBe('outcome_unknown')
  expect(await send('6')).toBe('permitted')
})

it('the hash that permits and receipts name the action by is of what was written', async () => {
  const hashes = new Set<unknown>()
  for (const rate of ['1.0', '1.00']) {
    const { permit = '' } = (await asked({ rate })).context
    hashes.add(decodeJwt(permit).action_hash)
    const receipt = (await world.receipts()).at(-1)
    expect(JSON.parse(receipt?.secrets ?? '').action_hash.value).toBe(decodeJwt(permit).action_hash)
    expect(JSON.stringify(receipt)).not.toContain('intent')
  }
  expect(hashes.size).toBe(2)
})

it('holds where the receipt has long been in D1', async () => {
  const { context } = await asked({ rate: '1.0' })
  clock.advance(3_000)
  await runDurableObjectAlarm(world.object())
  await report(context.evaluation_id, 'unknown')
  expect(await briefly({ rate: 1 })).toBe('no: outcome_unknown')
  expect(await briefly({ rate: 2 })).toBe('allow: permitted')
})

describe('what of the arguments is not to be stored in clear', () => {
  const worldOf = (privacy: Tenant['privacy'] & object) => createWorld({ settings: { privacy } })
  const stored = (at: World) =>
    runInDurableObject(at.object(), (_, { storage: { sql } }) => ({
      intents: sql.exec<{ intent: string | null }>('SELECT intent FROM receipt').toArray(),
      pending: sql.exec<{ action_hash: string }>('SELECT action_hash FROM pending').toArray(),
    }))

  it('is compared by what stands for it, where it is personal', async () => {
    const at = await worldOf({ personal: [{ of: 'resource', fields: ['arguments'] }] })
    const plain = await worldOf({ personal: [{ of: 'resource', fields: ['asserted'] }] })
    for (const where of [at, plain]) {
      await unknown({ rate: '1.0' }, where)
      await unknown({}, where)
      for (const args of [{ rate: '1.0' }, { rate: 1 }, {}])
        expect(await briefly(args, where), JSON.stringify(args)).toBe('no: outcome_unknown')
      expect(await briefly({ rate: 2 }, where)).toBe('allow: permitted')
    }
    const { context } = await asked({ rate: 3 }, at)
    const hash = decodeJwt(context.permit ?? '').action_hash
    const { intents, pending } = await stored(at)
    expect(JSON.stringify([intents, pending])).not.toContain(hash)
    expect(new Set([...intents.flatMap(({ intent }) => intent ?? [])]).size).toBe(4)
    // One tenant's are not another's.
    const other = await worldOf({ personal: [{ of: 'resource', fields: ['arguments'] }] })
    await unknown({ rate: '1.0' }, other)
    expect((await stored(other)).pending[0]).not.toEqual(pending[0])
  })

  it('is compared as it is masked, where it holds a credential', async () => {
    const tags = ['AKIAIOSFODNN7EXAMPLE', 'x']
    await unknown({ tags, rate: '1.0' })
    expect(await briefly({ tags, rate: '1.0' })).toBe('no: outcome_unknown')
    expect(await briefly({ tags: [...tags].reverse(), rate: 1 })).toBe('no: outcome_unknown')
    expect(await briefly({ tags, rate: '2.0' })).toBe('allow: permitted')
    expect(JSON.stringify(await stored(world))).not.toContain('AKIA')
  })
})

import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backlogOf } from '../../src/audit/collectors.ts'
import type { StoredReceipt } from '../../src/audit/receipt.ts'
import { wrongLinks } from '../audit/verify.ts'
import { clock } from '../clock.ts'
import { broken, mend } from '../doubles.ts'
import { alarm, callOf, chainOf, decided, decideOne, item, newAgent, type TestAgent } from './build.ts'

beforeEach(mend)
afterEach(() => {
  mend()
  clock.reset()
})

const DAY = 86_400_000
const now = () => ({ now: clock.now() })

/** What D1 holds of an agent's chain, in the order in which it came. */
const recorded = async ({ name }: TestAgent): Promise<StoredReceipt[]> => {
  const { results } = await env.DB.prepare(
    'SELECT seq, hash, prev, kind, at, body_commit AS bodyCommit, body, secrets FROM receipts WHERE chain = ? ORDER BY id',
  )
    .bind(name)
    .all<StoredReceipt>()
  return results
}

const alarmAt = (agent: TestAgent): Promise<number | null> =>
  runInDurableObject(agent.stub, (_, state) => state.storage.getAlarm())

describe('receipts reach D1 exactly once, in order, none missing', () => {
  it('a second after the first of them, together', async () => {
    const agent = newAgent()
    await agent.stub.decide(
      callOf(
        agent,
        Array.from({ length: 20 }, () => item()),
        now(),
      ),
    )
    await agent.stub.suspend({ v: 1, tenant: agent.tenant, agent: agent.agent, by: 'b', reason: 'r', at: clock.now() })
    expect(await recorded(agent)).toEqual([])
    await alarm(agent)
    expect(await recorded(agent)).toEqual(await chainOf(agent))
    expect(wrongLinks(agent.name, await recorded(agent))).toEqual([])
    expect(broken.writes).toBe(1)
    expect(await agent.stub.status()).toMatchObject({ unflushed: { count: 0 } })
    expect(await alarmAt(agent)).toBeGreaterThan(clock.now() + 30 * DAY)
  })

  it('by the real alarm, which wakes an object that was evicted', { timeout: 20_000 }, async () => {
    const agent = newAgent()
    await agent.stub.decide(callOf(agent, [item(), item()], now()))
    await evictDurableObject(agent.stub)
    await expect.poll(() => recorded(agent), { timeout: 15_000, interval: 200 }).toHaveLength(2)
    expect(await agent.stub.status()).toMatchObject({ unflushed: { count: 0 } })
  })

  it('after D1 was cut off for a while, with decisions, failures and restarts going on', async () => {
    const agent = newAgent()
    await decided(agent, item(), now())
    broken.d1 = true
    for (let outage = 0; outage < 3; outage++) {
      await alarm(agent, 600_000)
      await agent.stub.decide(
        callOf(
          agent,
          Array.from({ length: 120 }, () => item()),
          now(),
        ),
      )
      await evictDurableObject(agent.stub)
    }
    expect(await recorded(agent)).toEqual([])
    const { chains } = await backlogOf(env.COLLECTOR, agent.tenant)
    expect(chains.find(({ chain }) => chain === agent.name)).toMatchObject({
      agent: agent.agent,
      since: (await chainOf(agent))[0]?.at,
      error: expect.stringContaining('cut off'),
    })

    broken.d1 = false
    await alarm(agent, 600_000)
    const rows = await recorded(agent)
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 361 }, (_, index) => index + 1))
    expect(wrongLinks(agent.name, rows)).toEqual([])
    const after = await backlogOf(env.COLLECTOR, agent.tenant)
    expect(after.chains.filter(({ chain }) => chain === agent.name)).toEqual([])
  })

  it('though D1 took them and its answer was lost', async () => {
    const agent = newAgent()
    await agent.stub.decide(callOf(agent, [item(), item()], now()))
    broken.d1Answers = true
    await alarm(agent)
    expect(await recorded(agent)).toHaveLength(2)
    expect(await agent.stub.status()).toMatchObject({ unflushed: { count: 2 } })
    broken.d1Answers = false
    await decided(agent, item(), now())
    await alarm(agent, 600_000)
    expect(await recorded(agent)).toEqual(await chainOf(agent))
    expect(await agent.stub.status()).toMatchObject({ unflushed: { count: 0 } })
  })

  it('also what was decided while a flush was on its way', async () => {
    const agent = newAgent()
    await decided(agent, item(), now())
    const flush = alarm(agent)
    await Promise.all([flush, ...Array.from({ length: 20 }, () => decided(agent, item(), now()))])
    await alarm(agent)
    expect(await recorded(agent)).toEqual(await chainOf(agent))
  })
})

it('an alarm that fails ten times is still set', async () => {
  const agent = newAgent()
  await decided(agent, item(), now())
  broken.collectors = true
  let before = 0
  for (let failure = 0; failure < 10; failure++) {
    expect(await alarm(agent, 600_000)).toBe(true)
    const at = await alarmAt(agent)
    expect(at).toBeGreaterThan(clock.now())
    expect(at).toBeLessThanOrEqual(clock.now() + 300_000)
    if (failure === 0) before = (at ?? 0) - clock.now()
  }
  expect(((await alarmAt(agent)) ?? 0) - clock.now()).toBeGreaterThan(before)
  // more work doesn't cut the back-off short
  const at = await alarmAt(agent)
  await decided(agent, item(), now())
  expect(await alarmAt(agent)).toBe(at)
  broken.collectors = false
  await alarm(agent, 600_000)
  expect(await recorded(agent)).toHaveLength(2)
})

it('an object whose alarm was given up sets it again when it wakes', async () => {
  const agent = newAgent()
  await decided(agent, item(), now())
  await runInDurableObject(agent.stub, (_, state) => state.storage.deleteAlarm())
  await evictDurableObject(agent.stub)
  await agent.stub.status()
  expect(await alarmAt(agent)).not.toBeNull()
})

describe('a chain that the record contradicts', () => {
  const forge = (agent: TestAgent, seq: number) =>
    env.DB.prepare("UPDATE receipts SET hash = 'forged' WHERE chain = ? AND seq = ?").bind(agent.name, seq).run()

  it('decides nothing more, and is named; others go on', async () => {
    const [agent, other] = [newAgent(), newAgent()]
    await decided(agent, item(), now())
    await alarm(agent)
    await forge(agent, 1)
    await agent.stub.refill({ from: 1 })
    await decided(agent, item(), now())
    await alarm(agent)

    expect(await agent.stub.status()).toMatchObject({ fork: 1 })
    expect(await decideOne(agent, item())).toEqual({ kind: 'chain_fork' })
    expect(await agent.stub.decide(callOf(agent, [item(), item()]))).toEqual([{ kind: 'chain_fork' }])
    // nothing was added to what is wrong
    expect(await recorded(agent)).toHaveLength(1)
    const { forks } = await backlogOf(env.COLLECTOR, agent.tenant)
    expect(forks).toContainEqual({ chain: agent.name, agent: agent.agent, seq: 1 })
    expect(await decided(other, item())).toMatchObject({ outcome: 'allow' })
  })

  it('gives no answers to retries either', async () => {
    const agent = newAgent()
    const keyed = () => item({ idempotency: { key: 'k', requestHash: 'request' } })
    await decided(agent, keyed(), now())
    await alarm(agent)
    await forge(agent, 1)
    await agent.stub.refill({ from: 1 })
    await alarm(agent)
    expect(await decideOne(agent, keyed(), now())).toEqual({ kind: 'chain_fork' })
  })
})

it('a refill sends again what a restored D1 has lost', async () => {
  const agent = newAgent()
  await agent.stub.decide(callOf(agent, [item(), item(), item()], now()))
  await alarm(agent)
  await env.DB.prepare('DELETE FROM receipts WHERE chain = ? AND seq >= 2').bind(agent.name).run()
  expect(await agent.stub.refill({ from: 1 })).toEqual({ from: 1, to: 3 })
  await alarm(agent)
  expect(await recorded(agent)).toEqual(await chainOf(agent))
})

it("receipts stay past D1's 30 days of restoring, then go; the head stays", async () => {
  const agent = newAgent()
  await agent.stub.decide(callOf(agent, [item(), item(), item()], now()))
  await alarm(agent)
  await alarm(agent, 31 * DAY)
  expect(await chainOf(agent)).toHaveLength(3)
  await alarm(agent, 5 * DAY)
  expect((await chainOf(agent)).map(({ seq }) => seq)).toEqual([3])
  expect(await alarmAt(agent)).toBeNull()

  const next = await decided(agent, item(), now())
  expect(next.receipt.seq).toBe(4)
  await alarm(agent)
  expect(wrongLinks(agent.name, await recorded(agent))).toEqual([])
})

it('receipts that D1 never confirmed are never removed', async () => {
  const agent = newAgent()
  await agent.stub.decide(callOf(agent, [item(), item(), item()], now()))
  await alarm(agent)
  broken.d1 = true
  await agent.stub.decide(callOf(agent, [item(), item(), item()], now()))
  for (let month = 0; month < 3; month++) await alarm(agent, 40 * DAY)
  expect((await chainOf(agent)).map(({ seq }) => seq)).toEqual([4, 5, 6])
  broken.d1 = false
  await alarm(agent, DAY)
  expect(await recorded(agent)).toHaveLength(6)
})

it('answers and full buckets are swept away', async () => {
  const agent = newAgent()
  const keyed = item({ idempotency: { key: 'k', requestHash: 'request' }, denied: { reason: 'schema_mismatch' } })
  await decided(agent, keyed, now())
  const rows = () =>
    runInDurableObject(agent.stub, (_, { storage }) =>
      storage.sql.exec('SELECT (SELECT count(*) FROM reply) AS replies, (SELECT count(*) FROM meter) AS meters').one(),
    )
  expect(await rows()).toEqual({ replies: 1, meters: 1 })
  await alarm(agent)
  expect(await rows()).toEqual({ replies: 1, meters: 1 })
  await alarm(agent, 30 * 60_000)
  expect(await rows()).toEqual({ replies: 0, meters: 0 })
})

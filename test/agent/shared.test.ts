import { evictDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import type { WindowMeter } from '../../src/settle/program.ts'
import { clock } from '../clock.ts'
import { leg, program, rule } from '../settle/build.ts'
import { alarm, decided, item, newAgent, type TestAgent } from './build.ts'

const plenty = { capacity: 100_000, windowMs: 60_000 }

/** A budget of a tenant that is new, so that no test meets another's. */
const sharing = (capacity: number) => {
  const key = crypto.randomUUID()
  const meter = (cost: number): WindowMeter => ({
    kind: 'window',
    key,
    capacity,
    window: { kind: 'sliding', ms: 86_400_000 },
    cost,
    budget: true,
    shared: nameOf('budget', 'acme', key),
  })
  return (cost: number) =>
    program(leg({ permits: [rule('permit')], forbids: [rule('budget', { meters: [meter(cost)] })] }))
}

const spend = (agent: TestAgent, asked: ReturnType<typeof program>, more = {}) =>
  decided(agent, item({ program: asked, ...more }), { now: clock.now(), attempts: plenty })

describe('a budget that 50 agents share', () => {
  // FULL=1 asks for all 2,000, of budgets of several sizes
  const full = env.TEST_FULL === '1'
  const each = full ? 40 : 6
  const cases: [string, number, number][] = [
    ['100', 100, 1],
    ['1,000', 1_000, 1],
    ['10,000, spent in sevens', 10_000, 7],
  ]
  it.each(full ? cases : cases.slice(0, 1))(
    'of %s is never exceeded by concurrent decisions, and at least 95 percent of it is of use',
    async (_, capacity, cost) => {
      const agents = Array.from({ length: 50 }, () => newAgent())
      const budget = sharing(capacity)
      const answers = await Promise.all(
        agents.flatMap(agent => Array.from({ length: each }, () => spend(agent, budget(cost)))),
      )
      const spent = cost * answers.filter(({ outcome }) => outcome === 'allow').length
      if (full) console.log(`${spent} of ${capacity} spent by ${answers.length} decisions of ${agents.length} agents`)
      expect(answers.filter(({ reason }) => reason === 'budget_exhausted').length).toBe(50 * each - spent / cost)
      expect(spent).toBeLessThanOrEqual(capacity)
      expect(spent).toBeGreaterThanOrEqual(capacity * 0.95)
    },
    120_000,
  )
})

it('what one agent holds and does not spend comes back, and others spend it', async () => {
  const [one, other] = [newAgent(), newAgent()]
  const budget = sharing(100)
  expect(await spend(one, budget(1))).toMatchObject({ outcome: 'allow' })
  expect(await spend(other, budget(95))).toMatchObject({ reason: 'budget_exhausted' })
  for (let fired = 0; fired < 3; fired++) await alarm(one, 61_000)
  expect(await spend(other, budget(99))).toMatchObject({ outcome: 'allow' })
  expect(await spend(one, budget(1))).toMatchObject({ reason: 'budget_exhausted' })
})

it('what an agent holds it spends without asking, over an eviction', async () => {
  const agent = newAgent()
  const budget = sharing(1_000)
  await spend(agent, budget(1))
  await evictDurableObject(agent.stub)
  for (let times = 0; times < 7; times++) expect(await spend(agent, budget(1))).toMatchObject({ outcome: 'allow' })
})

it('what a tool says was not done goes back to all', async () => {
  const [one, other] = [newAgent(), newAgent()]
  const budget = sharing(100)
  const { evaluationId } = await spend(one, budget(100))
  const denied = await spend(other, budget(1))
  expect(denied).toMatchObject({ outcome: 'deny', reason: 'budget_exhausted' })
  expect(denied.retryAfter).toBeGreaterThan(86_000)
  const report = { v: 1, evaluationId, outcome: 'not_done', trusted: true, by: 'tool', at: clock.now() } as const
  expect(await one.stub.report(report)).toMatchObject({ freed: 100 })
  for (let fired = 0; fired < 3; fired++) await alarm(one, 61_000)
  expect(await spend(other, budget(100))).toMatchObject({ outcome: 'allow' })
})

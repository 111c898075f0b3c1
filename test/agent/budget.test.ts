import { evictDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import type { WindowMeter } from '../../src/settle/program.ts'
import { leg, program, rule } from '../settle/build.ts'
import { decided, item, newAgent, T0 } from './build.ts'

const DAY = 86_400_000
const plenty = { capacity: 10_000, windowMs: 60_000 }

const budget = (cost: number, more: Partial<WindowMeter> = {}): WindowMeter => ({
  kind: 'window',
  key: 'budget',
  capacity: 100,
  window: { kind: 'sliding', ms: DAY },
  cost,
  budget: true,
  ...more,
})
const spending = (cost: number, more: Partial<WindowMeter> = {}) =>
  program(leg({ permits: [rule('permit')], forbids: [rule('budget', { meters: [budget(cost, more)] })] }))

describe('a budget of 100', () => {
  it('allows exactly 100 of many concurrent decisions', async () => {
    // FULL=1 asks for all 2,000
    const many = env.TEST_FULL === '1' ? 2_000 : 400
    const agent = newAgent()
    const answers = await Promise.all(
      Array.from({ length: many }, () => decided(agent, item({ program: spending(1) }), { attempts: plenty })),
    )
    expect(answers.filter(({ outcome }) => outcome === 'allow')).toHaveLength(100)
    expect(answers.filter(({ reason }) => reason === 'budget_exhausted')).toHaveLength(many - 100)
  }, 60_000)

  it('adds up what is spent, over an eviction, and says when there is room again', async () => {
    const agent = newAgent()
    expect(await decided(agent, item({ program: spending(60) }))).toMatchObject({ outcome: 'allow' })
    await evictDurableObject(agent.stub)
    const denied = await decided(agent, item({ program: spending(41) }))
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'budget_exhausted', policies: ['budget'] })
    expect(denied.retryAfter).toBeGreaterThanOrEqual(DAY / 1000)
    expect(denied.retryAfter).toBeLessThanOrEqual((DAY + DAY / 60) / 1000)
    expect(await decided(agent, item({ program: spending(40) }))).toMatchObject({ outcome: 'allow' })
    const later = { now: T0 + 1000 * (denied.retryAfter ?? 0) }
    expect(await decided(agent, item({ program: spending(100) }), later)).toMatchObject({ outcome: 'allow' })
  })

  it('never has room for 101, and then no waiting is advised', async () => {
    const denied = await decided(newAgent(), item({ program: spending(101) }))
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'budget_exhausted' })
    expect(denied.retryAfter).toBeUndefined()
  })

  it('begins anew with the day of its time zone', async () => {
    const agent = newAgent()
    const daily = (cost: number) => spending(cost, { window: { kind: 'calendar', unit: 'day', zone: 'Europe/Berlin' } })
    const evening = Date.UTC(2026, 10, 24, 22, 30)
    await decided(agent, item({ program: daily(100) }), { now: evening })
    expect(await decided(agent, item({ program: daily(1) }), { now: evening })).toMatchObject({ retryAfter: 1800 })
    expect(await decided(agent, item({ program: daily(1) }), { now: evening + 1_800_000 })).toMatchObject({
      outcome: 'allow',
    })
  })
})

it('a sliding limit is a limit: it says rate_limited', async () => {
  const agent = newAgent()
  const limited = () => spending(1, { capacity: 2, window: { kind: 'sliding', ms: 60_000 }, budget: false })
  await decided(agent, item({ program: limited() }))
  await decided(agent, item({ program: limited() }), { now: T0 + 30_000 })
  expect(await decided(agent, item({ program: limited() }), { now: T0 + 59_000 })).toMatchObject({
    reason: 'rate_limited',
    retryAfter: 2,
  })
  expect(await decided(agent, item({ program: limited() }), { now: T0 + 61_000 })).toMatchObject({ outcome: 'allow' })
})

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import { type OutcomeReply, type Reported, reported } from '../../src/agent/calls/outcomes.ts'
import { nameOf } from '../../src/durable/names.ts'
import { LEASE_MS } from '../../src/settle/lease.ts'
import type { Program, WindowMeter } from '../../src/settle/program.ts'
import { clock } from '../clock.ts'
import { leg, limit, program, rule } from '../settle/build.ts'
import { decided, item, newAgent, type TestAgent } from './build.ts'

/**
 * Agents' objects against a model on paper, under all that may happen around them: decisions and reports in any order,
 * calls that are made again, objects that are put out of memory, alarms, and clocks that step forward and back. Buckets,
 * windows and reservations in the first, leases in the second.
 */

afterEach(() => clock.reset())

// FULL=1 asks for ten times as many runs
const RUNS = env.TEST_FULL === '1' ? 200 : 20
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const PLENTY = { capacity: 1_000_000, windowMs: 1_000 }

type Allowed = { evaluationId: string; at: number; cost: number; freed: boolean; closed: boolean; until: number }

/** What counts for sure in a sliding window at a time, and what may: its slot is a sixtieth of it. */
const within = (allowed: readonly Allowed[], ms: number, at: number) => {
  const sum = (late: number) => allowed.filter(one => at < one.at + ms + late).reduce((all, one) => all + one.cost, 0)
  return { surely: sum(0), atMost: sum(ms / 60) }
}

/** Puts an object out of memory; one that sleeps is woken for it. */
const restart = async (stub: DurableObjectStub): Promise<void> => {
  await runInDurableObject(stub, () => {})
  await evictDurableObject(stub)
}

const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('ask' as const), cost: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('again' as const) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('report' as const),
        of: fc.nat({ max: 1 }),
        outcome: fc.constantFrom<Reported>('not_done', 'not_done', 'not_done', 'not_done', 'not_done', ...reported),
        trusted: fc.constantFrom(true, true, true, false),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('restart' as const, 'alarm' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('clock' as const),
        ms: fc.oneof(fc.integer({ min: -MINUTE, max: 3 * MINUTE }), fc.integer({ min: -HOUR, max: 2 * HOUR })),
      }),
    },
  ),
  { minLength: 15, maxLength: 45 },
)

it('buckets, windows and reservations hold what paper says, over restarts, retries and clock steps', async () => {
  const [BUCKET, PACE, BUDGET] = [12, 20, 30]
  const REPORT = 5 * MINUTE
  const window = (key: string, capacity: number, ms: number, cost: number, budget: boolean): WindowMeter => ({
    kind: 'window',
    key,
    capacity,
    window: { kind: 'sliding', ms },
    cost,
    budget,
  })
  const asking = (cost: number): Program =>
    program(
      leg({
        permits: [rule('permit', { duties: { reportMs: REPORT } })],
        forbids: [
          rule('bucket', { meters: [limit('bucket', BUCKET, 2 * MINUTE, cost)] }),
          rule('pace', { meters: [window('pace', PACE, 10 * MINUTE, cost, false)] }),
          rule('budget', { meters: [window('budget', BUDGET, HOUR, cost, true)] }),
        ],
      }),
    )
  const seen = { allowed: 0, denied: 0, freed: 0, replayed: 0, back: 0 }
  await fc.assert(
    fc.asyncProperty(steps, async steps => {
      const agent = newAgent()
      const allowed: Allowed[] = []
      // the bucket as a fraction over its window
      let [paper, drawnAt] = [BUCKET * 2 * MINUTE, Number.NEGATIVE_INFINITY]
      let last: { key: string; cost: number; evaluationId: string; outcome: string; at: number } | undefined
      const decide = async (key: string, cost: number) => {
        const asked = item({ program: asking(cost), idempotency: { key, requestHash: key } })
        const answer = await decided(agent, asked, { now: clock.now(), attempts: PLENTY })
        const { evaluationId, outcome, at } = answer
        if (answer.replayed) return answer
        expect(evaluationId).toBe(asked.evaluationId)
        paper = Math.min(BUCKET * 2 * MINUTE, paper + Math.max(0, at - drawnAt) * BUCKET)
        drawnAt = Math.max(drawnAt, at)
        const pace = within(allowed, 10 * MINUTE, at)
        const budget = within(
          allowed.filter(one => !one.freed),
          HOUR,
          at,
        )
        const roomy = paper >= cost * 2 * MINUTE
        if (outcome === 'allow') {
          expect([roomy, pace.surely + cost <= PACE, budget.surely + cost <= BUDGET]).toEqual([true, true, true])
          paper -= cost * 2 * MINUTE
          allowed.push({ evaluationId, at, cost, freed: false, closed: false, until: at + REPORT })
          seen.allowed++
        } else {
          expect(!roomy || pace.atMost + cost > PACE || budget.atMost + cost > BUDGET).toBe(true)
          seen.denied++
        }
        last = { key, cost, evaluationId, outcome, at }
        return answer
      }
      for (const step of steps) {
        switch (step.kind) {
          case 'ask':
            await decide(crypto.randomUUID(), step.cost)
            break
          case 'again': {
            if (!last) break
            const before = last
            const answer = await decide(before.key, before.cost)
            if (answer.replayed) {
              expect(answer).toMatchObject({
                evaluationId: before.evaluationId,
                outcome: before.outcome,
                at: before.at,
              })
              seen.replayed++
            } else expect(answer.at).toBeGreaterThanOrEqual(before.at + 10 * MINUTE)
            break
          }
          case 'report': {
            const one = allowed.at(-1 - step.of)
            if (!one) break
            const { outcome, trusted } = step
            const { evaluationId } = one
            const call = { v: 1 as const, evaluationId, outcome, trusted, by: 'x', at: clock.now() }
            const reply: OutcomeReply = await agent.stub.report(call)
            if (reply.kind !== 'recorded') {
              expect(reply.kind).toBe('settled')
              break
            }
            const frees = trusted && !one.closed && outcome === 'not_done' && reply.at < one.until
            if (trusted && !one.closed) expect(reply.freed).toBe(frees ? one.cost : 0)
            if (frees) {
              one.freed = true
              seen.freed++
            }
            one.closed ||= trusted
            break
          }
          case 'restart':
            if (last) await restart(agent.stub)
            break
          case 'alarm':
            if (last) await runDurableObjectAlarm(agent.stub)
            break
          case 'clock':
            if (step.ms < 0) seen.back++
            clock.advance(step.ms)
        }
      }
    }),
    { numRuns: RUNS },
  )
  // a model in which little happens would prove little
  for (const [what, times] of Object.entries(seen)) expect([what, times >= RUNS / 2]).toEqual([what, true])
}, 600_000)

const AGENTS = 3
const who = fc.nat({ max: AGENTS - 1 })
/** Clocks may be apart by no more than leases bear. */
const skew = fc.integer({ min: -1_000, max: 1_000 })

const shared = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        kind: fc.constant('ask' as const),
        agent: who,
        cost: fc.integer({ min: 1, max: 9 }),
        skew,
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('again' as const), agent: who, skew }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('not_done' as const), of: fc.nat({ max: 5 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('restart' as const, 'alarm' as const), agent: who }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('coordinator' as const) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        ms: fc.oneof(fc.integer({ min: 0, max: 2 * LEASE_MS }), fc.integer({ min: 0, max: HOUR })),
      }),
    },
  ),
  { minLength: 20, maxLength: 60 },
)

it('agents that share a budget never spend more together, over restarts, retries and clock steps', async () => {
  const BUDGET = 40
  const seen = { allowed: 0, denied: 0, freed: 0, replayed: 0, much: 0 }
  await fc.assert(
    fc.asyncProperty(shared, async steps => {
      const key = crypto.randomUUID()
      const coordinator = nameOf('budget', 'acme', key)
      const asking = (cost: number): Program => {
        const meter: WindowMeter = {
          kind: 'window',
          key,
          capacity: BUDGET,
          window: { kind: 'sliding', ms: HOUR },
          cost,
          budget: true,
          shared: coordinator,
        }
        return program(leg({ permits: [rule('permit')], forbids: [rule('budget', { meters: [meter] })] }))
      }
      const agents: TestAgent[] = Array.from({ length: AGENTS }, () => newAgent())
      const last: { key: string; cost: number; evaluationId: string }[] = []
      const spent: { evaluationId: string; agent: TestAgent; at: number; cost: number; freed: boolean }[] = []
      const decide = async (index: number, key: string, cost: number, skew: number) => {
        const agent = agents[index] ?? newAgent()
        const asked = item({ program: asking(cost), idempotency: { key, requestHash: key } })
        const answer = await decided(agent, asked, { now: clock.now() + skew, attempts: PLENTY })
        const { evaluationId } = answer
        if (answer.replayed) return answer
        last[index] = { key, cost, evaluationId }
        if (answer.outcome === 'allow') spent.push({ evaluationId, agent, at: clock.now(), cost, freed: false })
        seen[answer.outcome === 'allow' ? 'allowed' : 'denied']++
        return answer
      }
      for (const step of steps) {
        switch (step.kind) {
          case 'ask':
            await decide(step.agent, crypto.randomUUID(), step.cost, step.skew)
            break
          case 'again': {
            const before = last[step.agent]
            if (!before) break
            const answer = await decide(step.agent, before.key, before.cost, step.skew)
            if (!answer.replayed) break
            expect(answer.evaluationId).toBe(before.evaluationId)
            seen.replayed++
            break
          }
          case 'not_done': {
            const one = spent.at(-1 - step.of)
            if (!one) break
            const { evaluationId } = one
            const call = { v: 1, evaluationId, outcome: 'not_done', trusted: true, by: 'x', at: clock.now() } as const
            const reply: OutcomeReply = await one.agent.stub.report(call)
            if (reply.kind !== 'recorded' || reply.freed === 0 || one.freed) break
            expect(reply.freed).toBe(one.cost)
            one.freed = true
            seen.freed++
            break
          }
          case 'restart':
            if (last[step.agent]) await restart(agents[step.agent]?.stub ?? newAgent().stub)
            break
          case 'alarm':
            if (last[step.agent]) await runDurableObjectAlarm(agents[step.agent]?.stub ?? newAgent().stub)
            break
          case 'coordinator':
            if (last.length > 0) await restart(env.BUDGET.getByName(coordinator))
            break
          case 'wait':
            clock.advance(step.ms)
        }
        const sum = spent
          .filter(one => !one.freed && one.at > clock.now() - HOUR)
          .reduce((all, { cost }) => all + cost, 0)
        expect(sum).toBeLessThanOrEqual(BUDGET)
        if (sum > BUDGET * 0.75) seen.much++
      }
    }),
    { numRuns: RUNS },
  )
  for (const [what, times] of Object.entries(seen)) expect([what, times >= RUNS / 2]).toEqual([what, true])
}, 600_000)

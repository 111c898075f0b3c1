import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import type { DecideItem, DecideReply } from '../../src/agent/calls/decide.ts'
import type { Intent } from '../../src/decision/intent.ts'
import { nameOf } from '../../src/durable/names.ts'
import type { WindowMeter } from '../../src/settle/program.ts'
import { clock } from '../clock.ts'
import { broken, mend } from '../doubles.ts'
import { leg, liftable, program, rule } from '../settle/build.ts'
import { alarm, callOf, chainOf, decided, item, newAgent, type TestAgent } from './build.ts'

afterEach(mend)

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

it('a coordinator out of reach leaves undecided what would ask it, and nothing else of the call', async () => {
  const agent = newAgent()
  const budget = sharing(10)
  const named = () => {
    const key = crypto.randomUUID()
    return { idempotency: { key, requestHash: key } }
  }
  const items = [item(), item({ program: budget(4), ...named() }), item({ program: budget(4), ...named() }), item()]
  const ask = async () => {
    const reply: DecideReply = await agent.stub.decide(callOf(agent, items, { now: clock.now() }))
    return reply.map(answer => (answer.kind === 'decided' ? answer.outcome : answer.kind))
  }
  broken.budgets = true
  expect(await ask()).toEqual(['allow', 'untold', 'untold', 'allow'])
  expect(await chainOf(agent)).toHaveLength(2)
  mend()
  expect(await ask()).toEqual(['allow', 'allow', 'allow', 'allow'])
  expect((await spend(agent, budget(4))).reason).toBe('budget_exhausted')
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

describe('of a budget that is shared, nothing is borrowed', () => {
  const forbidden = (shared: ReturnType<typeof program>) =>
    program(...shared.legs.map(one => leg({ ...one, forbids: [...one.forbids, rule('forbid')] })))
  const standing = { v: 1, tenant: 'acme', by: 'root', reason: 'r', at: 0 } as const

  it('by who is denied for another reason, so nobody is kept from it', async () => {
    const [one, other] = [newAgent(), newAgent()]
    const budget = sharing(100)
    expect(await spend(one, forbidden(budget(100)))).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    const targets = ['["tenant"]']
    const epoch = { v: 1, seq: 1, targets } as const
    const killed = await decided(one, item({ program: budget(100), targets }), { now: clock.now(), epoch })
    expect(killed).toMatchObject({ reason: 'killed' })
    await one.stub.suspend({ ...standing, agent: one.agent })
    expect(await spend(one, budget(100))).toMatchObject({ reason: 'suspended' })
    expect(await spend(other, budget(100))).toMatchObject({ outcome: 'allow' })
  })

  it('by who has to ask a human first', async () => {
    const [one, other] = [newAgent(), newAgent()]
    const budget = sharing(100)
    const asking = (shared: ReturnType<typeof program>) =>
      program(...shared.legs.map(each => leg({ ...each, forbids: [...each.forbids, rule('ask', { liftable })] })))
    expect(await spend(one, asking(budget(60)))).toMatchObject({ outcome: 'step_up', policies: ['ask'] })
    expect(await spend(other, budget(100))).toMatchObject({ outcome: 'allow' })
    // what is exhausted denies, and no human is asked in vain
    const denied = await spend(one, asking(budget(60)))
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'budget_exhausted' })
    expect(denied.retryAfter).toBeGreaterThan(86_000)
  })

  it('by who begins an intent again of which nobody knows the end', async () => {
    const [one, other] = [newAgent(), newAgent()]
    const budget = sharing(100)
    const asked = () => decided(one, item({ program: budget(40), actionHash: 'transfer' }), { now: clock.now() })
    const { evaluationId } = await asked()
    await one.stub.report({ v: 1, evaluationId, outcome: 'unknown', trusted: false, by: 'one', at: clock.now() })
    expect(await asked()).toMatchObject({ outcome: 'deny', reason: 'outcome_unknown' })
    expect(await spend(other, budget(55))).toMatchObject({ outcome: 'allow' })
  })

  it('for an answer that was given before', async () => {
    const [one, other] = [newAgent(), newAgent()]
    const budget = sharing(100)
    const once = item({ program: budget(40), idempotency: { key: 'k', requestHash: 'h' } })
    expect(await decided(one, once, { now: clock.now() })).toMatchObject({ outcome: 'allow' })
    expect(await decided(one, once, { now: clock.now() })).toMatchObject({ replayed: true })
    expect(await spend(other, budget(55))).toMatchObject({ outcome: 'allow' })
  })

  it('twice where it bears on several principals of the chain', async () => {
    const [one, other] = [newAgent(), newAgent()]
    const budget = sharing(100)
    const [first] = budget(40).legs
    if (!first) throw new Error('no leg')
    expect(await spend(one, program(first, first))).toMatchObject({ outcome: 'allow' })
    expect(await spend(other, budget(55))).toMatchObject({ outcome: 'allow' })
  })
})

/** An action for which a human has lifted a forbid, and the approval that it is presented with. */
const approvedFor = async (agent: TestAgent, policy: string): Promise<Partial<DecideItem>> => {
  const [actionHash, bindingHash] = [crypto.randomUUID(), 'binding']
  const intent: Intent = {
    tenant: agent.tenant,
    principals: { actor: { type: 'Agent', id: 'a' }, chain: [] },
    action: 'refund',
    resource: { type: 'Order', id: '7' },
    arguments: {},
  }
  const approval = {
    id: crypto.randomUUID(),
    task: crypto.randomUUID(),
    actionHash,
    bindingHash,
    lifts: [{ policy, textHash: liftable.textHash }],
    until: clock.now() + 3_600_000,
    uses: 1,
  }
  const { tenant, stub } = agent
  await stub.resolve({
    v: 1,
    tenant,
    agent: agent.agent,
    task: approval.task,
    evaluationId: crypto.randomUUID(),
    status: 'approved',
    forbids: approval.lifts,
    answers: [],
    requester: { name: 'issuer/agent' },
    at: clock.now(),
    approval,
  })
  const binding = { actionHash, bindingHash, contextMembers: [], intent }
  return { actionHash, binding, approval: { id: approval.id, verified: true } }
}

it('what a human lets an agent spend beyond a shared budget counts for all, and comes back once', async () => {
  const [one, other, third] = [newAgent(), newAgent(), newAgent()]
  const key = crypto.randomUUID()
  const meter = (cost: number): WindowMeter => ({
    kind: 'window',
    key,
    capacity: 100,
    window: { kind: 'sliding', ms: 86_400_000 },
    cost,
    budget: true,
    shared: nameOf('budget', 'acme', key),
  })
  const liftableBy = (cost: number) =>
    program(leg({ permits: [rule('permit')], forbids: [rule('budget', { meters: [meter(cost)], liftable })] }))
  expect(await spend(other, liftableBy(90))).toMatchObject({ outcome: 'allow' })
  const over = await approvedFor(one, 'budget')
  const { evaluationId } = await spend(one, liftableBy(50), over)
  await alarm(one, 1)
  expect(await spend(third, liftableBy(1))).toMatchObject({ outcome: 'step_up' })
  const report = { v: 1, evaluationId, outcome: 'not_done', trusted: true, by: 'tool', at: clock.now() } as const
  expect(await one.stub.report(report)).toMatchObject({ freed: 50 })
  expect(await one.stub.report(report)).toMatchObject({ freed: 50 })
  await alarm(one, 1)
  // the first was lent five beyond what it needed
  clock.advance(1_000)
  expect(await spend(third, liftableBy(6))).toMatchObject({ outcome: 'step_up' })
  expect(await spend(third, liftableBy(5))).toMatchObject({ outcome: 'allow' })
})

it('what was not done goes back at once, however long its report could take', async () => {
  const [one, other] = [newAgent(), newAgent()]
  const budget = sharing(100)
  const [{ permits = [], forbids = [] } = {}] = budget(100).legs
  const reporting = permits.map(permit => ({ ...permit, duties: { reportMs: 86_400_000 } }))
  const { evaluationId } = await spend(one, program(leg({ permits: reporting, forbids })))
  // the lease ends, and nothing of it is left
  for (let fired = 0; fired < 2; fired++) await alarm(one, 61_000)
  const report = { v: 1, evaluationId, outcome: 'not_done', trusted: true, by: 'tool', at: clock.now() } as const
  expect(await one.stub.report(report)).toMatchObject({ freed: 100 })
  await alarm(one, 1)
  expect(await spend(other, budget(100))).toMatchObject({ outcome: 'allow' })
})

it('a call whose clock is ahead does not keep the agent from its budgets', async () => {
  const agent = newAgent()
  const budget = sharing(1_000)
  await decided(agent, item(), { now: clock.now() + 600_000 })
  expect(await spend(agent, budget(900))).toMatchObject({ outcome: 'allow' })
})

it('a call that took long spends nothing of a lease that has ended meanwhile', async () => {
  const agent = newAgent()
  const budget = sharing(1_000)
  const begun = clock.now()
  await spend(agent, budget(1))
  clock.advance(70_000)
  expect(await decided(agent, item({ program: budget(1) }), { now: begun })).toMatchObject({ outcome: 'allow' })
  const rests = await runInDurableObject(agent.stub, (_, { storage }) =>
    storage.sql.exec<{ rest: number }>('SELECT rest FROM lease ORDER BY expires').toArray(),
  )
  expect(rests).toEqual([{ rest: 7 }, { rest: 7 }])
})

it('a coordinator forgets leases of which nothing counts any more, and those that came back', async () => {
  const [one, other] = [newAgent(), newAgent()]
  const key = crypto.randomUUID()
  const shared = nameOf('budget', 'acme', key)
  const window = { kind: 'sliding', ms: 3_600_000 } as const
  const meter: WindowMeter = { kind: 'window', key, capacity: 100_000, window, cost: 10, budget: true, shared }
  const hourly = program(leg({ permits: [rule('permit')], forbids: [rule('budget', { meters: [meter] })] }))
  const count = (where: string) =>
    runInDurableObject(
      env.BUDGET.getByName(shared),
      (_, { storage }) => storage.sql.exec(`SELECT * FROM lease WHERE ${where}`).toArray().length,
    )
  for (let minutes = 0; minutes < 100; minutes++) {
    await spend(one, hourly)
    clock.advance(60_000)
  }
  expect(await count('true')).toBeLessThan(70)
  const { evaluationId } = await spend(other, hourly)
  const report = { v: 1, evaluationId, outcome: 'not_done', trusted: true, by: 'tool', at: clock.now() } as const
  await other.stub.report(report)
  for (let fired = 0; fired < 3; fired++) await alarm(other, 61_000)
  expect(await count('returned = amount')).toBe(1)
  clock.advance(11 * 60_000)
  await spend(one, hourly)
  expect(await count('returned = amount')).toBe(0)
})

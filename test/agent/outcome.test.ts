import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import type { OutcomeCall } from '../../src/agent/calls/outcomes.ts'
import type { Duties, WindowMeter } from '../../src/settle/program.ts'
import { wrongLinks } from '../audit/verify.ts'
import { clock } from '../clock.ts'
import { leg, program, rule } from '../settle/build.ts'
import { alarm, allowing, chainOf, decided, item, newAgent, T0, type TestAgent } from './build.ts'

const MINUTE = 60_000

const budget = (cost: number): WindowMeter => ({
  kind: 'window',
  key: 'budget',
  capacity: 100,
  window: { kind: 'sliding', ms: 86_400_000 },
  cost,
  budget: true,
})
const spending = (cost: number, duties: Duties = {}) =>
  program(leg({ permits: [rule('permit', { duties })], forbids: [rule('budget', { meters: [budget(cost)] })] }))
const reporting = program(leg({ permits: [rule('permit', { duties: { reportMs: 15 * MINUTE } })] }))

const reportOf = async (agent: TestAgent, evaluationId: string, more: Partial<OutcomeCall>) =>
  await agent.stub.report({
    v: 1,
    evaluationId,
    outcome: 'done',
    trusted: true,
    by: 'issuer/tool',
    at: T0 + 1_000,
    ...more,
  })
const allowed = async (agent: TestAgent, cost: number, duties?: Duties) => {
  const answer = await decided(agent, item({ program: spending(cost, duties) }))
  expect(answer.outcome).toBe('allow')
  return answer.evaluationId
}
const room = async (agent: TestAgent, cost: number, now = T0 + 2_000) =>
  (await decided(agent, item({ program: spending(cost), actionHash: crypto.randomUUID() }), { now })).outcome ===
  'allow'

describe('a reservation', () => {
  it('is freed where a tool says that nothing was done', async () => {
    const agent = newAgent()
    const id = await allowed(agent, 80)
    expect(await room(agent, 21)).toBe(false)
    expect(await reportOf(agent, id, { outcome: 'not_done' })).toMatchObject({ kind: 'recorded', freed: 80 })
    expect(await room(agent, 100)).toBe(true)
  })

  it.each(['done', 'failed', 'unknown'] as const)('is spent where a tool says %s', async outcome => {
    const agent = newAgent()
    const id = await allowed(agent, 80)
    expect(await reportOf(agent, id, { outcome })).toMatchObject({ kind: 'recorded', freed: 0, claim: false })
    expect(await room(agent, 21)).toBe(false)
  })

  it("is never freed by the agent's own word, and may still be freed by a tool's", async () => {
    const agent = newAgent()
    const id = await allowed(agent, 80)
    expect(await reportOf(agent, id, { outcome: 'not_done', trusted: false })).toMatchObject({ claim: true, freed: 0 })
    expect(await room(agent, 21)).toBe(false)
    expect(await reportOf(agent, id, { outcome: 'not_done' })).toMatchObject({ claim: false, freed: 80 })
    expect(await room(agent, 100)).toBe(true)
  })

  it('is spent once its permit has lapsed, and is held longer where a report is due', async () => {
    const late = { outcome: 'not_done', at: T0 + MINUTE } as const
    const agent = newAgent()
    expect(await reportOf(agent, await allowed(agent, 80), late)).toMatchObject({ kind: 'recorded', freed: 0 })
    expect(await room(agent, 21, T0 + MINUTE)).toBe(false)
    const held = newAgent()
    const id = await allowed(held, 80, { reportMs: 15 * MINUTE })
    expect(await reportOf(held, id, late)).toMatchObject({ freed: 80 })
  })

  it('is freed once, however often that is said, and over an eviction', async () => {
    const agent = newAgent()
    const id = await allowed(agent, 30)
    await allowed(agent, 30)
    const first = await reportOf(agent, id, { outcome: 'not_done' })
    await evictDurableObject(agent.stub)
    expect(await reportOf(agent, id, { outcome: 'not_done' })).toEqual(first)
    expect(await room(agent, 71)).toBe(false)
    expect(await room(agent, 70)).toBe(true)
  })
})

describe('an outcome', () => {
  it('is a new receipt that names the first, with what may be personal committed to', async () => {
    const agent = newAgent()
    const answer = await decided(agent, item({ program: reporting }))
    expect(answer.duties).toEqual({ report_by: T0 + 15 * MINUTE })
    await reportOf(agent, answer.evaluationId, { outcome: 'failed', resultHash: 'h', note: 'declined by the bank' })
    const receipts = await chainOf(agent)
    expect(wrongLinks(agent.name, receipts)).toEqual([])
    const second = receipts[1]
    expect(second?.kind).toBe('outcome')
    expect(JSON.parse(second?.body ?? '')).toMatchObject({
      of: { evaluation_id: answer.evaluationId, ...answer.receipt },
      outcome: 'failed',
      claim: false,
    })
    expect(second?.body).not.toContain('bank')
    expect(JSON.parse(second?.secrets ?? '')).toMatchObject({
      note: { value: 'declined by the bank' },
      result_hash: { value: 'h' },
      caller: { value: 'issuer/tool' },
    })
  })

  it('that was settled by a trusted word is not contradicted', async () => {
    const agent = newAgent()
    const id = await allowed(agent, 5)
    await reportOf(agent, id, { outcome: 'done' })
    expect(await reportOf(agent, id, { outcome: 'not_done' })).toEqual({ kind: 'settled', outcome: 'done' })
    expect(await reportOf(agent, id, { outcome: 'unknown', trusted: false })).toEqual({
      kind: 'settled',
      outcome: 'done',
    })
  })

  it('of a decision that permitted nothing, or of nobody, is refused', async () => {
    const agent = newAgent()
    await allowed(agent, 100)
    const denied = await decided(agent, item({ program: spending(1) }))
    expect(await reportOf(agent, denied.evaluationId, { seq: denied.receipt.seq })).toEqual({ kind: 'not_permitted' })
    expect(await reportOf(agent, crypto.randomUUID(), {})).toEqual({ kind: 'not_found' })
    expect(await reportOf(agent, crypto.randomUUID(), { seq: 1 })).toEqual({ kind: 'not_found' })
    expect(await reportOf(newAgent(), denied.evaluationId, {})).toEqual({ kind: 'not_found' })
  })

  it('of a plain allow is taken until D1 has it, and then where its receipt is named', async () => {
    const agent = newAgent()
    const one = await decided(agent, item())
    const other = await decided(agent, item())
    expect(await reportOf(agent, one.evaluationId, {})).toMatchObject({ kind: 'recorded' })
    await alarm(agent, 3_000)
    expect(await reportOf(agent, other.evaluationId, {})).toEqual({ kind: 'not_found' })
    expect(await reportOf(agent, other.evaluationId, { seq: other.receipt.seq })).toMatchObject({ kind: 'recorded' })
  })
})

describe('after unknown', () => {
  it.each(['done', 'failed', 'not_done'] as const)('the same intent is refused until a tool says %s', async outcome => {
    const agent = newAgent()
    const asked = () => decided(agent, item({ program: spending(10), actionHash: 'transfer' }))
    const { evaluationId } = await asked()
    await reportOf(agent, evaluationId, { outcome: 'unknown', trusted: false })
    expect(await asked()).toMatchObject({ outcome: 'deny', reason: 'outcome_unknown' })
    expect(await room(agent, 1)).toBe(true)
    // who wants to do it twice would say this
    expect(await reportOf(agent, evaluationId, { outcome: 'failed', trusted: false })).toMatchObject({
      kind: 'settled',
    })
    expect(await asked()).toMatchObject({ reason: 'outcome_unknown' })
    expect(await reportOf(agent, evaluationId, { outcome })).toMatchObject({ kind: 'recorded' })
    expect(await asked()).toMatchObject({ outcome: 'allow' })
  })
})

describe('the name of an intent', () => {
  const asked = (agent: TestAgent, more: { actionHash: string; intent?: string }, cost = 10) =>
    decided(agent, item({ program: cost > 0 ? spending(cost) : allowing, ...more }))
  const unknown = async (agent: TestAgent, more: { actionHash: string; intent?: string }, cost?: number) => {
    const { evaluationId } = await asked(agent, more, cost)
    await reportOf(agent, evaluationId, { outcome: 'unknown' })
    return evaluationId
  }

  it.each([
    ['something is awaited of', 10],
    ['nothing is awaited of', 0],
  ])('holds back what is written otherwise, after a decision that %s', async (_, cost) => {
    const agent = newAgent()
    const id = await unknown(agent, { actionHash: '1.0', intent: 'one' }, cost)
    expect(await asked(agent, { actionHash: '1.00', intent: 'one' })).toMatchObject({ reason: 'outcome_unknown' })
    expect(await asked(agent, { actionHash: '2.0', intent: 'two' })).toMatchObject({ outcome: 'allow' })
    await reportOf(agent, id, { outcome: 'done' })
    expect(await asked(agent, { actionHash: '1.00', intent: 'one' })).toMatchObject({ outcome: 'allow' })
  })

  it('is that of the action in rows from before there was any', async () => {
    const agent = newAgent()
    await unknown(agent, { actionHash: '1.0' })
    expect(await asked(agent, { actionHash: '1.0', intent: 'one' })).toMatchObject({ reason: 'outcome_unknown' })
    expect(await asked(agent, { actionHash: '1.0' })).toMatchObject({ reason: 'outcome_unknown' })
    expect(await asked(agent, { actionHash: '2.0', intent: 'two' })).toMatchObject({ outcome: 'allow' })
  })

  it('lets a fact settle what was written otherwise', async () => {
    const agent = newAgent()
    await unknown(agent, { actionHash: '1.0', intent: 'one' })
    const fact = { name: 'payout', id: 'f1', hash: 'h', observedAt: Date.now() + MINUTE }
    const again = item({
      program: spending(10),
      actionHash: '1.00',
      intent: 'one',
      came: { outcome: 'failed', by: 'bank', fact },
    })
    expect(await decided(agent, again)).toMatchObject({ outcome: 'allow' })
  })
})

it('an unknown outcome may be settled after the receipt of its decision is gone', async () => {
  const agent = newAgent()
  const { evaluationId, receipt } = await decided(agent, item({ program: spending(10) }))
  await reportOf(agent, evaluationId, { outcome: 'unknown' })
  await runInDurableObject(agent.stub, (_, { storage }) => void storage.sql.exec('DELETE FROM receipt WHERE seq = 1'))
  expect(await reportOf(agent, evaluationId, { outcome: 'failed' })).toMatchObject({ kind: 'recorded' })
  expect(JSON.parse((await chainOf(agent)).at(-1)?.body ?? '').of.hash).toBe(receipt.hash)
})

describe('a report that is due', () => {
  it('and does not come marks the agent, on its chain', async () => {
    const agent = newAgent()
    const { evaluationId } = await decided(agent, item({ program: reporting }), { now: Date.now() })
    while (await alarm(agent, 16 * MINUTE)) if ((await chainOf(agent)).length > 1) break
    const [, mark] = await chainOf(agent)
    expect(mark?.kind).toBe('overdue')
    expect(JSON.parse(mark?.body ?? '')).toMatchObject({ of: { evaluation_id: evaluationId, seq: 1 } })
    expect(await agent.stub.status()).toMatchObject({ overdue: 1 })
    await reportOf(agent, evaluationId, { trusted: false, at: Date.now() })
    expect(await agent.stub.status()).toMatchObject({ overdue: 0 })
  })

  it("is done by the agent's own word, in time", async () => {
    const agent = newAgent()
    const { evaluationId } = await decided(agent, item({ program: reporting }), { now: Date.now() })
    await reportOf(agent, evaluationId, { trusted: false, at: Date.now() })
    for (let fired = 0; fired < 3; fired++) await alarm(agent, 16 * MINUTE)
    expect((await chainOf(agent)).map(({ kind }) => kind)).toEqual(['decision', 'outcome'])
  })
})

describe('a permit that must be redeemed', () => {
  const asked = (cost: number) => item({ program: spending(cost), redeem: true, targets: [] })
  const use = async (agent: TestAgent, evaluationId: string, at: number) =>
    await agent.stub.redeem({ v: 1, evaluationId, by: 'issuer/tool', at })

  it('and never was gives back what it had reserved, once it has lapsed', async () => {
    const agent = newAgent()
    const now = clock.now()
    const { evaluationId } = await decided(agent, asked(80), { now })
    while (await alarm(agent, 30_000)) if ((await chainOf(agent)).length > 1) break
    const [, lapse] = await chainOf(agent)
    expect(lapse?.kind).toBe('lapse')
    expect(JSON.parse(lapse?.body ?? '')).toMatchObject({ of: { evaluation_id: evaluationId }, freed: 80 })
    expect(await room(agent, 100, clock.now())).toBe(true)
    expect(await use(agent, evaluationId, clock.now())).toEqual({ kind: 'not_found' })
  })

  it('and was keeps it spent', async () => {
    const agent = newAgent()
    const now = clock.now()
    const { evaluationId } = await decided(agent, asked(80), { now })
    expect(await use(agent, evaluationId, now + 1_000)).toMatchObject({ kind: 'taken' })
    for (let fired = 0; fired < 5; fired++) await alarm(agent, 30_000)
    expect(await room(agent, 21, clock.now())).toBe(false)
  })

  it('is refused once what the authority for it came from was taken away', async () => {
    const agent = newAgent()
    const lineage = { keys: ['Agent::"parent"', 'delegation d1'], since: T0 }
    const { evaluationId } = await decided(agent, asked(1), { lineage })
    const key = 'delegation d1'
    await agent.stub.takeAway({ v: 1, key, until: T0 + 60 * MINUTE, lifted: false, at: T0 })
    expect(await use(agent, evaluationId, T0)).toEqual({ kind: 'revoked' })
    await agent.stub.takeAway({ v: 1, key, until: T0, lifted: true, at: T0 })
    expect(await use(agent, evaluationId, T0)).toMatchObject({ kind: 'taken' })
  })

  it.each(['not_done', 'done', 'unknown'] as const)('is refused once a tool has said %s', async outcome => {
    const agent = newAgent()
    const { evaluationId } = await decided(agent, asked(80))
    await reportOf(agent, evaluationId, { outcome, trusted: false })
    await reportOf(agent, evaluationId, { outcome })
    expect(await use(agent, evaluationId, T0 + 2_000)).toEqual({ kind: 'settled', outcome })
  })

  it('is refused once it has lapsed', async () => {
    const agent = newAgent()
    const { evaluationId } = await decided(agent, asked(1))
    expect(await use(agent, evaluationId, T0 + MINUTE)).toEqual({ kind: 'lapsed' })
  })
})

it('what has become spending, and is spent no longer, is swept away', async () => {
  const agent = newAgent()
  await decided(agent, item({ program: spending(1) }), { now: clock.now() })
  const rows = () =>
    runInDurableObject(agent.stub, (_, { storage: { sql } }) =>
      ['spent', 'reservation', 'pending'].map(table => sql.exec(`SELECT * FROM ${table}`).toArray().length),
    )
  expect(await rows()).toEqual([1, 1, 1])
  for (let fired = 0; fired < 12; fired++) await alarm(agent, 12 * MINUTE)
  expect(await rows()).toEqual([1, 0, 1])
  for (let fired = 0; fired < 8; fired++) await alarm(agent, 240 * MINUTE)
  expect(await rows()).toEqual([0, 0, 0])
})

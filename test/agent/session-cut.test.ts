import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { clock } from '../clock.ts'
import { callOf, item, newAgent, type TestAgent } from './build.ts'

/** Of a session that never rests old steps are forgotten, and what is left can still be checked. */

const DAY = 86_400_000
let agent: TestAgent
beforeEach(() => {
  agent = newAgent()
})
afterEach(() => clock.reset())

const stepOf = (session: string, n: number) =>
  item({ step: { session, action: 'view', resource: `Order::"${n}"`, type: 'Order', read: { class: 'c', level: 1 } } })
const walk = async (count: number, session = 's', from = 0) => {
  const items = Array.from({ length: count }, (_, n) => stepOf(session, from + n))
  const reply = await agent.stub.decide(callOf(agent, items, { now: clock.now() }))
  const outcomes = reply.map(answer => (answer.kind === 'decided' ? answer.outcome : answer.kind))
  expect(new Set(outcomes)).toEqual(new Set(['allow']))
}
const trace = async (session = 's') => {
  const found = await agent.stub.session(session)
  if (!found) throw new Error('there is no such session')
  return { ...found, kept: found.steps.map(({ seq }) => seq) }
}
const sql = (statement: string) =>
  runInDurableObject(agent.stub, (_, { storage }) => storage.sql.exec(statement).toArray())
/** Lets all be done that is due by then. */
const pass = async (ms: number) => {
  clock.advance(ms)
  for (let fired = 0; fired < 4; fired++) await runDurableObjectAlarm(agent.stub)
}
/** A step each day. */
const goOn = async (days: number, session?: string) => {
  for (let day = 0; day < days; day++) {
    await walk(1, session, day)
    await pass(DAY)
  }
}

it('keeps the steps of 35 days, and says how many there were before', async () => {
  await goOn(34)
  expect(await trace()).not.toHaveProperty('forgotten')
  await goOn(26)
  const { kept, forgotten, wrong, state } = await trace()
  expect(wrong).toBeUndefined()
  expect([25, 26]).toContain(forgotten)
  expect(kept).toEqual(Array.from({ length: 60 - (forgotten ?? 0) }, (_, n) => n + 1 + (forgotten ?? 0)))
  // What policies read is as it was.
  expect(state).toMatchObject({ steps: 60, actions: ['view'], classes: ['c'], level: 1 })
  expect(state?.resources).toHaveLength(34)
  await goOn(3)
  const later = await trace()
  expect(later).toMatchObject({ forgotten: (forgotten ?? 0) + 3, state: { steps: 63 } })
  expect(later.wrong).toBeUndefined()
})

it('always keeps the last, and forgets all of a session that ended', async () => {
  await walk(3)
  await pass(29 * DAY)
  await walk(1, 's', 3)
  await pass(10 * DAY)
  expect(await trace()).toMatchObject({ forgotten: 3, kept: [4] })
  await walk(1, 's', 4)
  expect(await trace()).toMatchObject({ forgotten: 3, kept: [4, 5], state: { steps: 5 } })
  await pass(40 * DAY)
  expect(await agent.stub.session('s')).toBeUndefined()
  expect(await sql('SELECT * FROM session_cut')).toEqual([])
  expect(await sql('SELECT * FROM session_step')).toEqual([])
})

it.each([
  [
    'the entry of the first that is kept',
    "UPDATE session_step SET entry = replace(entry, 'Order', 'Other') WHERE seq = 4",
    4,
  ],
  ['what it led to', 'UPDATE session_cut SET state = replace(state, \'"level":1\', \'"level":0\')', 4],
  ['what it led to, so that it can not be read', "UPDATE session_cut SET state = 'x'", 1],
  ['that it was cut', 'DELETE FROM session_cut', 1],
  ['one more that is gone', 'DELETE FROM session_step WHERE seq = 4', 5],
  ['one in between that is gone', 'DELETE FROM session_step WHERE seq = 5', 5],
  ['a later entry', "UPDATE session_step SET entry = replace(entry, 'Order', 'Other') WHERE seq = 5", 5],
  ['the state', 'UPDATE session SET state = replace(state, \'"level":1\', \'"level":0\')', 6],
])('%s: tampering after a cut is found', async (_, change, wrong) => {
  await walk(3)
  await pass(29 * DAY)
  await walk(2, 's', 3)
  await walk(2, 'other')
  await pass(10 * DAY)
  await walk(1, 's', 5)
  await walk(1, 'other', 2)
  expect(await trace()).toMatchObject({ forgotten: 3, kept: [4, 5, 6] })
  await sql(change)
  expect((await trace()).wrong).toBe(wrong)
  // It is in nobody's way.
  await pass(28 * DAY)
  expect((await trace()).wrong).toBe(wrong)
  expect((await trace('other')).forgotten).toBe(2)
})

it.each([
  ['the first', "UPDATE session_step SET entry = replace(entry, 'Order', 'Other') WHERE seq = 1", 1],
  ['the first, so that it can not be read', "UPDATE session_step SET entry = 'x' WHERE seq = 1", 1],
  ['the beginning', "UPDATE session_step SET prev = 'x' WHERE seq = 1", 1],
  ['another', "UPDATE session_step SET hash = 'x' WHERE seq = 3", 3],
])('%s: what was tampered with is not forgotten', async (_, change, wrong) => {
  await walk(4)
  await walk(1, 'other')
  await pass(29 * DAY)
  await walk(2, 's', 4)
  await walk(2, 'other', 4)
  await sql(`${change} AND id = 's'`)
  await pass(10 * DAY)
  const { kept, ...found } = await trace()
  expect(kept).toContain(wrong)
  expect(found.wrong).toBe(wrong)
  // It is in nobody's way.
  expect((await trace('other')).forgotten).toBe(1)
})

it('is done a part at a time', async () => {
  for (let n = 0; n < 12; n++) await walk(100, 's', n)
  await pass(29 * DAY)
  await walk(1)
  clock.advance(10 * DAY)
  const kept = []
  for (let fired = 0; fired < 6; fired++) {
    await runDurableObjectAlarm(agent.stub)
    kept.push((await trace()).kept.length)
    clock.advance(60_000)
  }
  expect(new Set(kept)).toEqual(new Set([701, 201, 1]))
  expect((await trace()).wrong).toBeUndefined()
})

it('what the session above has not been told stays', async () => {
  const above = newAgent()
  const place = { object: nameOf('agent', above.tenant, 'Agent', above.agent), agent: above.agent, session: 'root' }
  const state = {
    actions: [],
    classes: [],
    level: -1,
    request: '',
    resources: [],
    startedAt: clock.now(),
    steps: 0,
    types: [],
  }
  const inheritance = { line: [place], seq: 1, hash: 'h', state }
  await agent.stub.begin({ v: 1, id: 's', at: clock.now(), inheritance })
  const act = async (n: number) => {
    const reply = await agent.stub.decide(callOf(agent, [stepOf('s', n)], { now: clock.now() }))
    // Nobody above knows of it, so there is no answer.
    expect(reply).toMatchObject([{ kind: 'untold' }])
  }
  await act(1)
  await act(2)
  await pass(29 * DAY)
  await act(3)
  await pass(10 * DAY)
  expect(await trace()).toMatchObject({ forgotten: 1, kept: [2, 3, 4] })
  expect((await trace()).wrong).toBeUndefined()
  const [cut] = await sql('SELECT line FROM session_cut')
  expect(JSON.parse(String(cut?.line))).toEqual([place])
})

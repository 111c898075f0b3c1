import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { uuidv7 } from 'uuidv7'
import type { DecideCall, DecideItem, DecideReply } from '../../src/agent/calls/decide.ts'
import { commitment, type StoredReceipt } from '../../src/audit/receipt.ts'
import { nameOf } from '../../src/durable/names.ts'
import { clock } from '../clock.ts'
import { leg, limit, program, rule } from '../settle/build.ts'

/** Agents and calls for tests. Each agent is new, so no test meets another's state. */

export const newAgent = (tenant = 'acme') => {
  const agent = `Agent::"${crypto.randomUUID()}"`
  const name = nameOf('agent', tenant, 'Agent', agent)
  return {
    tenant,
    agent,
    name,
    /** Always a new one: a stub is of no use once its object was aborted. */
    get stub() {
      return env.AGENT.getByName(name)
    },
  }
}
export type TestAgent = ReturnType<typeof newAgent>

export const T0 = Date.UTC(2026, 10, 20, 9)

export const callOf = (
  { tenant, agent }: TestAgent,
  items: DecideItem[],
  more: Partial<DecideCall> = {},
): DecideCall => ({
  v: 2,
  tenant,
  agent,
  bundle: { seq: 1, hash: 'bundle-1' },
  now: T0,
  attempts: { capacity: 1000, windowMs: 60_000 },
  items,
  stop: 'never',
  ...more,
})

export const item = (more: Partial<DecideItem> = {}): DecideItem => {
  const resource = { salt: crypto.randomUUID(), value: { type: 'Order', id: '7' } }
  return {
    evaluationId: uuidv7(),
    actionHash: crypto.randomUUID(),
    program: allowing,
    body: { caller: 'issuer/agent', action: 'refund', resource: commitment(resource) },
    secrets: JSON.stringify({ resource }),
    permitMs: 60_000,
    ...more,
  }
}

export const allowing = program(leg({ permits: [rule('permit')] }))
export const denying = program(leg({ permits: [rule('permit')], forbids: [rule('forbid')] }))

/** Decides one item. */
export const decideOne = async (agent: TestAgent, one: DecideItem, more: Partial<DecideCall> = {}) => {
  const reply: DecideReply = await agent.stub.decide(callOf(agent, [one], more))
  const [answer, ...others] = reply
  if (!answer || others.length > 0) throw new Error(`${reply.length} answers to one item`)
  return answer
}

/** The same, where nothing but a decision will do. */
export const decided = async (agent: TestAgent, one: DecideItem, more: Partial<DecideCall> = {}) => {
  const answer = await decideOne(agent, one, more)
  if (answer.kind !== 'decided') throw new Error(answer.kind)
  return answer
}

/** All receipts that the object holds. */
export const chainOf = async ({ stub }: TestAgent): Promise<StoredReceipt[]> =>
  await stub.receipts({ after: 0, limit: 1000 })

export const limited = (capacity: number, windowMs = 3_600_000) =>
  program(leg({ permits: [rule('permit')], forbids: [rule('rate', { meters: [limit('rate', capacity, windowMs)] })] }))

/** Lets the time come at which the next thing is due, and fires the alarm. */
export const alarm = async ({ stub }: TestAgent, afterMs = 2_000): Promise<boolean> => {
  clock.advance(afterMs)
  return runDurableObjectAlarm(stub)
}

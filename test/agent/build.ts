import { env } from 'cloudflare:workers'
import { uuidv7 } from 'uuidv7'
import type { DecideCall, DecideItem } from '../../src/agent/call.ts'
import type { AgentObject } from '../../src/agent/object.ts'
import { commitment } from '../../src/audit/receipt.ts'
import { nameOf } from '../../src/durable/names.ts'
import { leg, program, rule } from '../settle/build.ts'

/** Agents and calls for tests. Each agent is new, so no test meets another's state. */

export const newAgent = (tenant = 'acme') => {
  const agent = `Agent::"${crypto.randomUUID()}"`
  const name = nameOf('agent', tenant, 'Agent', agent)
  const agents = env.AGENT as DurableObjectNamespace<AgentObject>
  return { tenant, agent, name, stub: agents.getByName(name) }
}
export type TestAgent = ReturnType<typeof newAgent>

export const T0 = Date.UTC(2026, 10, 20, 9)

export const callOf = (
  { tenant, agent }: TestAgent,
  items: DecideItem[],
  more: Partial<DecideCall> = {},
): DecideCall => ({
  v: 1,
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
    program: allowing,
    body: { caller: 'issuer/agent', action: 'refund', resource: commitment(resource) },
    secrets: { resource },
    permitMs: 60_000,
    ...more,
  }
}

export const allowing = program(leg({ permits: [rule('permit')] }))
export const denying = program(leg({ permits: [rule('permit')], forbids: [rule('forbid')] }))

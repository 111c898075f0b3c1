import type { DecideCall, DecideReply } from '../src/agent/calls/decide.ts'
import { AgentObject as Agent, type AgentEnv } from '../src/agent/object.ts'
import { CollectorObject as Collector, type CollectorEnv } from '../src/audit/collector.ts'
import { LogObject as Log, type LogEnv } from '../src/audit/log/object.ts'
import { EscalationObject as Escalation, type EscalationEnv } from '../src/escalation/object.ts'
import { createApp } from '../src/http/app.ts'
import { createSource } from '../src/policy/source.ts'
import { clock } from './clock.ts'
import { breakable, breakableD1, broken, counting, watched } from './doubles.ts'
import { outsideFetch } from './outside.ts'

export { BudgetObject } from '../src/budget/object.ts'

/** The Worker with a clock that tests can set, and connections that they can break. */
export default createApp({ now: () => clock.now(), source: createSource() })

export class AgentObject extends Agent {
  constructor(ctx: DurableObjectState, env: AgentEnv) {
    super(ctx, {
      COLLECTOR: breakable(env.COLLECTOR),
      AGENT: watched(env.AGENT),
      BUNDLES: env.BUNDLES,
      BUDGET: counting(breakable(env.BUDGET, 'budgets'), 'budget'),
      NOW: () => clock.now(),
    })
  }

  override async decide(call: DecideCall): Promise<DecideReply> {
    const reply = await super.decide(call)
    if (broken.answers) throw new Error('the answer was lost')
    return reply
  }
}

export class CollectorObject extends Collector {
  constructor(ctx: DurableObjectState, env: CollectorEnv) {
    super(ctx, { DB: breakableD1(env.DB), LOG: breakable(env.LOG, 'log') })
  }
}

export class LogObject extends Log {
  constructor(ctx: DurableObjectState, env: LogEnv) {
    super(ctx, { ...env, NOW: () => clock.now() })
  }
}

export class EscalationObject extends Escalation {
  readonly #running: { alarm: boolean }

  constructor(ctx: DurableObjectState, env: EscalationEnv) {
    const { AGENT, DB, SIGNING_KEYS, KEY_ENCRYPTION_KEY, LOCAL } = env
    const running = { alarm: false }
    // what it does by the clock is no call's cost
    const agents = counting(breakable(AGENT, 'agents'), 'agent', () => !running.alarm)
    const whole = { AGENT: agents, DB, SIGNING_KEYS, KEY_ENCRYPTION_KEY, LOCAL }
    super(ctx, { ...whole, NOW: () => clock.now(), FETCH: outsideFetch })
    this.#running = running
  }

  override async alarm(): Promise<void> {
    this.#running.alarm = true
    await super.alarm()
    this.#running.alarm = false
  }
}

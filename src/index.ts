import { keepRecords } from './audit/keep.ts'
import { createApp } from './http/app.ts'
import { createSource } from './policy/source.ts'

export { AgentObject } from './agent/object.ts'
export { CollectorObject } from './audit/collector.ts'
export { LogObject } from './audit/log/object.ts'
export { BudgetObject } from './budget/object.ts'
export { EscalationObject } from './escalation/object.ts'

const source = createSource()

export default {
  fetch: createApp({ now: Date.now, source }).fetch,
  /** By the clock, as wrangler.toml says: what each tenant keeps of its record in D1. */
  scheduled: ({ scheduledTime }, env, { waitUntil }) =>
    keepRecords(env, source, { kv: env.BUNDLES, now: scheduledTime, waitUntil, local: env.LOCAL === 'true' }),
} satisfies ExportedHandler<Env>

import { createApp } from './http/app.ts'
import { createSource } from './policy/source.ts'

export { AgentObject } from './agent/object.ts'
export { CollectorObject } from './audit/collector.ts'
export { LogObject } from './audit/log/object.ts'
export { BudgetObject } from './budget/object.ts'
export { EscalationObject } from './escalation/object.ts'

export default createApp({ now: Date.now, source: createSource() })

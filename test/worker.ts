import { createApp } from '../src/http/app.ts'
import { createSource } from '../src/policy/source.ts'
import { clock } from './clock.ts'

export { AgentObject } from '../src/agent/object.ts'
export { CollectorObject } from '../src/audit/collector.ts'

/** The Worker with a clock that tests can set. */
export default createApp({ now: () => clock.now(), source: createSource() })

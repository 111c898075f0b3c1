import { DurableObject } from 'cloudflare:workers'
export class AgentObject extends DurableObject {}
export class CollectorObject extends DurableObject {}
export default { fetch: () => new Response('ok') }

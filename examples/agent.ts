import { countersign } from './local.ts'

/** What became of a call: the decision's outcome, or the HTTP status of a refusal. */
export type Answer = {
  outcome: string
  why: string
  /** Of the evaluation. */
  id?: string
  /** Where a human may allow it: what to send to the access-request endpoint. */
  request?: unknown
}

export type Receipt = {
  kind: string
  seq: number
  at: number
  hash: string
  body: { agent?: unknown; action?: string; decision?: { outcome: string; reason: string; policies: string[] } }
}

type As = { role?: string; agent?: string; user?: string; session?: string; source?: string }
type Entity = { type: string; id: string }
type Action = { name: string; properties?: Record<string, unknown> }

/** Someone who calls the control plane with a token of the local issuer. */
export const agent = async (origin: string, as: As) => {
  const { role = 'agent', ...who } = as
  const options = Object.entries(who).flatMap(([name, value]) => [`--${name}`, value])
  const token = (await countersign('token', '--role', role, '--origin', origin, ...options)).trim()
  return calling(origin, as, token)
}

const calling = (origin: string, as: As, token: string) => {
  const call = (path: string, body?: unknown) =>
    fetch(`${origin}/acme${path}`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    })
  const expectOk = async (response: Response) => {
    if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`)
    return JSON.parse(await response.text())
  }
  return {
    token,
    /** The same caller with another token. */
    with: (other: string) => calling(origin, as, other),
    post: async (path: string, body: unknown) => expectOk(await call(path, body)),
    get: async (path: string) => expectOk(await call(path)),
    /** Asks for one action on its own behalf (AuthZEN evaluation); `context` holds claims, approvals and the like. */
    ask: async (action: Action, resource: Entity, context?: Record<string, unknown>): Promise<Answer> => {
      const subject = entity(as.agent ?? '')
      const asked = { subject, action, resource }
      return answerOf(await call('/access/v1/evaluation', { ...asked, ...(context && { context }) }), asked)
    },
  }
}

type Told = {
  reason: string
  policies?: string[]
  problems?: { pointer: string; code: string }[]
  missing?: { name: string; sources: string[] }[]
  claims?: { name: string; status: string; facts: { source: string; value: unknown }[] }[]
  refused_by?: { grant?: string; principal?: Entity }[]
  retry_after?: number
}

/** What an answer says of its grounds, in one line. */
const whyOf = (told: Told): string => {
  const { reason, policies = [], problems = [], missing = [], claims = [], refused_by = [], retry_after } = told
  return [
    reason,
    ...policies,
    ...refused_by.map(({ grant, principal }) => (grant ? `grant …${grant.slice(-6)}` : principal?.id)),
    ...problems.map(({ pointer, code }) => `${pointer} ${code}`),
    ...missing.map(({ name, sources }) => `${name} of ${sources.join(' or ')}`),
    ...claims.map(({ name, status, facts }) =>
      [
        `${name} ${status}:`,
        ...facts.map(({ source, value }) => (value === undefined ? source : `${source} says ${value}`)),
      ].join(' '),
    ),
    ...(retry_after === undefined ? [] : [`again in ${retry_after} s`]),
  ].join(', ')
}

const entity = (uid: string): Entity => {
  const [, type = '', id = ''] = /^(.+)::"(.+)"$/.exec(uid) ?? []
  return { type, id }
}

/** What a decision's answer comes to; with how a human may be asked, where one may. */
export const answerOf = async (response: Response, asked: object): Promise<Answer> => {
  const answer = JSON.parse(await response.text())
  if (!response.ok) return { outcome: `${response.status}`, why: answer.reason }
  const { outcome, access_request, evaluation_id: id } = answer.context
  const why = whyOf(answer.context)
  if (!access_request) return { outcome, why, id }
  const { expires_at, binding_token } = access_request
  const denial = { evaluation_id: id, expires_at, binding_token }
  return { outcome, why, id, request: { ...asked, denial } }
}

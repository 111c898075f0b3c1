import { env, exports } from 'cloudflare:workers'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as v from 'valibot'
import type { AgentObject } from '../../src/agent/object.ts'
import type { StoredReceipt } from '../../src/audit/receipt.ts'
import { Answer, FailedItem } from '../../src/decision/answer.ts'
import { agentName } from '../../src/decision/prepare.ts'
import { reasons } from '../../src/decision/reasons.ts'
import { nameOf } from '../../src/durable/names.ts'
import { type Bundle, type Pointer, writeBundle } from '../../src/policy/bundle.ts'
import type { Issuer, Tenant } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { jcs } from '../decision/jcs.ts'

/** A tenant of its own for a test: bundle, issuer and callers, so that no test meets another's state. */
export type World = Awaited<ReturnType<typeof createWorld>>

const DEVELOPMENT = 'urn:countersign:development'
const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
const jwk = await exportJWK(publicKey)
const kid = await calculateJwkThumbprint(jwk)

const developmentIssuer: Issuer = {
  id: 'development',
  iss: DEVELOPMENT,
  algorithms: ['EdDSA'],
  jwks: { keys: [{ ...jwk, kid }] },
  roles: { allowed: ['agent', 'pep', 'admin', 'approver', 'auditor', 'source'], claim: 'roles', default: [] },
  skew: 30,
  max_age: 86_400,
  development: true,
}

type Uid = { type: string; id: string }
export type TokenClaims = {
  sub?: string
  aud?: string
  roles?: string[]
  agent?: Uid
  chain?: Uid[]
  user?: Uid
  groups?: Uid[]
  source?: string
  sid?: string
  admit?: boolean
  iat?: number
  exp?: number
  iss?: string
  cnf?: object
  authorization_details?: object[]
  jti?: string
}

/** How the Worker is reached: over its default export, or an app of the test's own. */
export type Send = (request: Request) => Promise<Response>
const overExports: Send = request => exports.default.fetch(request)

export type Sending = {
  token?: string | undefined
  headers?: Record<string, string>
  /** Instead of `exports.default.fetch`. */
  send?: Send
}

export const createWorld = async (
  options: {
    /** Under test/fixtures. */
    folder?: string
    tenant?: string
    settings?: Partial<Tenant>
    change?: (bundle: Bundle) => void
  } = {},
) => {
  const tenant = options.tenant ?? `t-${crypto.randomUUID().slice(0, 13)}`
  const identifier = `${env.ORIGIN}/${tenant}`
  const compiled = env.TEST_BUNDLES[options.folder ?? 'desk']
  if (!compiled?.bundle) throw new Error(`test/fixtures/${options.folder}: ${compiled?.problems.join('\n')}`)
  const base = structuredClone(compiled.bundle)
  const issuers = [...base.settings.issuers, { ...developmentIssuer }]
  base.settings = { ...base.settings, ...options.settings, tenant, issuers }
  options.change?.(base)
  let seq = 0

  /** Stores a body without pointing to it. */
  const store = async (change: (bundle: Bundle) => void = () => {}): Promise<string> => {
    const bundle = structuredClone(base)
    change(bundle)
    const { body, hash } = writeBundle(bundle)
    await env.BUNDLES.put(nameOf('bundle', tenant, hash), body)
    return hash
  }
  const point = async (to: { seq: number; hash: string }): Promise<void> => {
    const pointer: Pointer = { v: 1, ...to, pushed_at: '2026-11-01T00:00:00Z' }
    await env.BUNDLES.put(nameOf('pointer', tenant), JSON.stringify(pointer))
  }
  /** What `countersign push` does: the body, then the pointer. */
  const push = async (change?: (bundle: Bundle) => void): Promise<{ seq: number; hash: string }> => {
    const to = { seq: ++seq, hash: await store(change) }
    await point(to)
    return to
  }

  const token = async (claims: TokenClaims = {}): Promise<string> => {
    const now = Math.floor(clock.now() / 1000)
    const { aud = identifier, iat = now, exp = now + 3600, iss = DEVELOPMENT, sub = 'tester', ...more } = claims
    return sign({ iss, sub, aud, iat, exp, roles: [], ...more })
  }

  const send = (method: string, path: string, body: BodyInit | undefined, sending: Sending = {}): Promise<Response> => {
    const headers = new Headers({
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(sending.token !== undefined && { authorization: `Bearer ${sending.token}` }),
      ...sending.headers,
    })
    const url = path.startsWith('https:') ? path : `${identifier}${path}`
    return (sending.send ?? overExports)(new Request(url, { method, headers, ...(body !== undefined && { body }) }))
  }
  const post = (path: string, json: unknown, sending?: Sending): Promise<Response> =>
    send('POST', path, JSON.stringify(json), sending)

  const world = {
    tenant,
    identifier,
    base,
    first: { seq: 0, hash: '' },
    store,
    point,
    push,
    token,
    send,
    post,
    agentToken: (id = 'clerk', more: TokenClaims = {}): Promise<string> =>
      token({ roles: ['agent'], agent: { type: 'Agent', id }, ...more }),
    pepToken: (more: TokenClaims = {}): Promise<string> => token({ sub: 'gateway', roles: ['pep'], ...more }),
    /** A decision, whatever it is; an answer of any other shape fails the test. */
    evaluate: async (ask: unknown, sending?: Sending): Promise<Answer> =>
      answerIn(await post('/access/v1/evaluation', ask, sending)),
    evaluateAll: async (batch: unknown, sending?: Sending): Promise<(Answer | FailedItem)[]> =>
      answersIn(await post('/access/v1/evaluations', batch, sending)),
    object: (id = 'clerk', type = 'Agent'): DurableObjectStub<AgentObject> =>
      env.AGENT.getByName(agentName(tenant, { type, id })),
    unattributed: async (): Promise<StoredReceipt[]> => {
      const chains = await Promise.all(
        ['0', '1', '2', '3'].map(chain =>
          env.AGENT.getByName(nameOf('unattributed', tenant, chain)).receipts({ after: 0, limit: 1000 }),
        ),
      )
      return chains.flat()
    },
    receipts: async (id = 'clerk', type = 'Agent'): Promise<StoredReceipt[]> =>
      env.AGENT.getByName(agentName(tenant, { type, id })).receipts({ after: 0, limit: 1000 }),
  }
  world.first = await push()
  return world
}

/** Signs any claims with the development issuer's key, or another one. */
export const sign = (
  claims: Record<string, unknown>,
  key: CryptoKey = privateKey,
  header: Record<string, string> = {},
): Promise<string> => new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid, ...header }).sign(key)

/** Changes of the fixture `desk` that a test may push. */
export const withoutReads = (bundle: Bundle): void => {
  const { 'desk-reads': _, ...staticPolicies } = bundle.policies.staticPolicies ?? {}
  bundle.policies = { ...bundle.policies, staticPolicies }
}
export const explaining = (bundle: Bundle): void => {
  bundle.settings = { ...bundle.settings, explain_to_agents: true }
}

/** An action of the fixture `desk`. */
export const asking = (name: string, more: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name },
  resource: { type: 'Order', id: '7' },
  ...more,
})
export const refund = (amount: unknown, more: Record<string, unknown> = {}) => ({
  ...asking('refund'),
  action: { name: 'refund', properties: { amount, ...more } },
})

/** RFC 9457, as every refusal is written. Strict: nothing else may slip out. */
export const Problem = v.strictObject({
  type: v.pipe(v.string(), v.regex(/^urn:countersign:problem:[a-z_]+$/)),
  title: v.pipe(v.string(), v.minLength(1)),
  status: v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)),
  reason: v.picklist(Object.keys(reasons) as (keyof typeof reasons)[]),
  detail: v.optional(v.string()),
  pointer: v.optional(v.pipe(v.string(), v.regex(/^(\/([^~/]|~[01])*)*$/))),
  retry_after: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
})
export type Problem = v.InferOutput<typeof Problem>

/** The answer, every member of it known and of its type. */
export const readAnswer = (json: unknown): Answer => {
  const answer = v.parse(Answer, json)
  // What the schema doesn't know, parsing leaves out: then the two would differ.
  if (jcs(answer) !== jcs(json)) throw new Error(`not an answer: ${JSON.stringify(json)}`)
  const { decision, context } = answer
  if (decision !== (context.outcome === 'allow' || context.outcome === 'modify')) throw new Error('decision ≠ outcome')
  if (decision !== (context.permit !== undefined))
    throw new Error('a permit belongs to what is allowed, and only there')
  if (decision && !context.recorded) throw new Error('allowed, and not on record')
  return answer
}

export const answerIn = async (response: Response): Promise<Answer> => {
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  mustBe(response, 'application/json')
  return readAnswer(JSON.parse(text))
}

export const answersIn = async (response: Response): Promise<(Answer | FailedItem)[]> => {
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  mustBe(response, 'application/json')
  const { evaluations } = v.parse(v.strictObject({ evaluations: v.array(v.unknown()) }), JSON.parse(text))
  return evaluations.map(item => (v.is(FailedItem, item) ? v.parse(FailedItem, item) : readAnswer(item)))
}

export const problemIn = async (response: Response): Promise<Problem> => {
  mustBe(response, 'application/problem+json')
  const problem = v.parse(Problem, await response.json())
  if (problem.status !== response.status)
    throw new Error(`status ${response.status}, and the body says ${problem.status}`)
  if (!problem.type.endsWith(`:${problem.reason}`)) throw new Error('type and reason differ')
  if (problem.retry_after !== undefined && response.headers.get('retry-after') !== String(problem.retry_after))
    throw new Error('Retry-After differs from the body')
  return problem
}

const mustBe = (response: Response, type: string): void => {
  const given = response.headers.get('content-type')
  if (given !== type) throw new Error(`Content-Type is ${given}, not ${type}`)
}

/** The ids of items that were all decided. */
export const idsOf = (items: (Answer | FailedItem)[]): string[] =>
  items.map(item => v.parse(Answer, item).context.evaluation_id)

/** The decision of an item, or a failed one's reason: short, for comparing whole batches. */
export const brief = (item: Answer | FailedItem): string => `${item.decision ? 'allow' : 'no'}: ${item.context.reason}`

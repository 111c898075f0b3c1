import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import * as v from 'valibot'
import type { EntityJson, PolicyJson } from '../../src/cedar/json.ts'
import { compile } from '../../src/cli/compile.ts'
import { Answer } from '../../src/decision/answer.ts'
import { nameOf } from '../../src/durable/names.ts'
import { type Bundle, type Pointer, writeBundle } from '../../src/policy/bundle.ts'
import { Tenant } from '../../src/policy/tenant.ts'
import { ROOT } from './build.ts'
import { post, type Target } from './load.ts'

/** Who asks for what under which rules: the example tenant in policies/, with sixteen support agents that ask it. */
export type Scene = {
  agents: readonly Agent[]
  /** What KV holds: pointers and bundles. */
  keys: Record<string, string>
  vars: Record<string, string>
  /** The public half of the key that signs the agents' tokens. */
  issuerJwks: { keys: object[] }
  /** Those of the bundles. */
  entities: readonly EntityJson[]
  policies: number
  /** A token of somebody who may read the record. */
  auditor: string
}

export type Agent = {
  name: string
  token: string
  /** The user that it acts for. */
  user?: string
  asks: readonly Ask[]
}

export type Ask = {
  action: { name: string; properties?: Record<string, unknown> }
  resource: { type: string; id: string }
}

/**
 * `plain` has the example's rules without those that count; in `counted` they count, up to a number that is never
 * reached, so each allow also draws from a meter. The example as it is would soon deny.
 */
export const TENANTS = ['plain', 'counted'] as const
export type TenantName = (typeof TENANTS)[number]

const ORIGIN = 'https://countersign.example'
const ISSUER = 'https://login.bench.example'
const AGENTS = 16

export const createScene = async (): Promise<Scene> => {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true })
  const signing = await generateKeyPair('Ed25519', { extractable: true })
  const issuerJwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' }] }
  const names = Array.from({ length: AGENTS }, (_, index) => `bench-${String(index + 1).padStart(2, '0')}`)
  // Every other agent acts for a user, whose permission is judged as well.
  const agents = names.map((name, index) => ({ name, asks: ASKS, ...(index % 2 === 1 && { user: 'ada' }) }))
  const token = ({ name, user }: (typeof agents)[number]) =>
    new SignJWT({ roles: ['agent'], ...(user !== undefined && { act: { sub: name } }) })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'bench', typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setAudience(TENANTS.map(tenant => `${ORIGIN}/${tenant}`))
      .setSubject(user ?? name)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)

  const auditor = await new SignJWT({ roles: ['auditor'] })
    .setProtectedHeader({ alg: 'EdDSA', kid: 'bench', typ: 'at+jwt' })
    .setIssuer(ISSUER)
    .setAudience(TENANTS.map(tenant => `${ORIGIN}/${tenant}`))
    .setSubject('auditor')
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey)

  const { bundle, diagnostics } = await compile(`${ROOT}/policies`)
  if (!bundle) throw new Error(`policies/ doesn't compile: ${diagnostics.map(({ message }) => message).join('; ')}`)
  const entities = withAgents(bundle.entities, names)
  const keys: Record<string, string> = {}
  for (const tenant of TENANTS) {
    const { body, hash } = writeBundle({
      ...RULES[tenant](bundle),
      settings: settingsOf(bundle, tenant, issuerJwks),
      entities,
    })
    const pointer: Pointer = { v: 1, seq: 1, hash, pushed_at: new Date().toISOString() }
    keys[nameOf('pointer', tenant)] = JSON.stringify(pointer)
    keys[nameOf('bundle', tenant, hash)] = body
  }
  return {
    agents: await Promise.all(agents.map(async agent => ({ ...agent, token: await token(agent) }))),
    keys,
    vars: { ORIGIN, LOCAL: 'false', SIGNING_KEYS: JSON.stringify({ keys: [await exportJWK(signing.privateKey)] }) },
    issuerJwks,
    entities,
    policies: Object.keys(RULES.plain(bundle).policies.staticPolicies ?? {}).length,
    auditor,
  }
}

/** The decisions of one tenant, as a target of load. */
export const decisionsOf = (tenant: TenantName, name: string, { agents }: Scene, port: number): Target => ({
  name,
  port,
  requests: agents.map(agent =>
    agent.asks.map(ask =>
      post(`/${tenant}/access/v1/evaluation`, { subject: subjectOf(agent), ...ask }, authorizationOf(agent)),
    ),
  ),
  isRight: isAllow,
})

/** The same, several in one call: all of an agent's asks, twice. */
export const batchesOf = (tenant: TenantName, name: string, { agents }: Scene, port: number): Target => ({
  name,
  port,
  each: 2 * ASKS.length,
  requests: agents.map(agent => {
    const batch = { subject: subjectOf(agent), evaluations: [...agent.asks, ...agent.asks] }
    return [post(`/${tenant}/access/v1/evaluations`, batch, authorizationOf(agent))]
  }),
  isRight: body => body.toString().match(ALLOWED)?.length === 2 * ASKS.length,
})

const subjectOf = ({ name: id, user }: Agent) =>
  user === undefined ? { type: 'Agent', id } : { type: 'User', id: user }
const authorizationOf = ({ token }: Agent) => ({ authorization: `Bearer ${token}` })

const ALLOWED = /"decision":true,"context":\{[^}]*"recorded":true,[^}]*"permit":"/g
const isAllow = (body: Buffer): boolean => body.toString().match(ALLOWED)?.length === 1

/** Reads answers closely: each is what the API promises, and its permit verifies and states that very decision. */
export const verifyAnswers = async (tenant: TenantName, bodies: readonly Buffer[], port: number): Promise<void> => {
  const response = await fetch(`http://127.0.0.1:${port}/.well-known/jwks.json`)
  const jwks = createLocalJWKSet(
    v.parse(v.object({ keys: v.array(v.looseObject({ kty: v.string() })) }), await response.json()),
  )
  for (const { decision, context } of bodies.flatMap(answersIn)) {
    const { permit = '', evaluation_id, outcome, recorded } = context
    const issuer = `${ORIGIN}/${tenant}`
    const { payload } = await jwtVerify(permit, jwks, {
      issuer,
      typ: 'permit+jwt',
      currentDate: new Date(context.evaluated_at),
    })
    if (!decision || !recorded || outcome !== 'allow' || payload.jti !== evaluation_id) {
      throw new Error(`not an allow with its permit: ${JSON.stringify(context)}`)
    }
  }
}

const answersIn = (body: Buffer): Answer[] => {
  const read = v.parse(v.union([v.object({ evaluations: v.array(Answer) }), Answer]), JSON.parse(body.toString()))
  return 'evaluations' in read ? read.evaluations : [read]
}

/** What the example's rules allow a support agent, for itself and for Ada of the support team. */
const ASKS: readonly Ask[] = [
  { action: { name: 'viewOrder' }, resource: { type: 'Order', id: 'o-1001' } },
  {
    action: { name: 'viewCustomer', properties: { fields: ['name', 'email'] } },
    resource: { type: 'Customer', id: 'practice' },
  },
  {
    action: {
      name: 'sendEmail',
      properties: { to: 'jo@customer.example', subject: 'Your order', body: 'It is on its way.' },
    },
    resource: { type: 'Mailbox', id: 'support' },
  },
  {
    action: { name: 'updateOrder', properties: { note: 'Asked to ring at the neighbour.' } },
    resource: { type: 'Order', id: 'o-1002' },
  },
]

const RULES: Record<TenantName, (bundle: Bundle) => Bundle> = {
  plain: bundle => withStatic(bundle, ({ annotations }) => annotations?.limit === undefined),
  counted: bundle =>
    withStatic(bundle, policy => {
      const limit = policy.annotations?.limit
      if (typeof limit !== 'string') return policy
      return { ...policy, annotations: { ...policy.annotations, limit: limit.replace(/^\d+/, '9999999') } }
    }),
}

/** The bundle with its policies replaced, or without those for which there is nothing. */
const withStatic = (bundle: Bundle, change: (policy: PolicyJson) => PolicyJson | boolean): Bundle => {
  const entries = Object.entries(bundle.policies.staticPolicies ?? {}).flatMap(
    ([id, policy]): [string, PolicyJson][] => {
      const changed = change(policy)
      if (changed === false) return []
      return [[id, changed === true ? policy : changed]]
    },
  )
  return { ...bundle, policies: { ...bundle.policies, staticPolicies: Object.fromEntries(entries) } }
}

/** The example's entities, and the agents as copies of its support bot. */
const withAgents = (entities: readonly EntityJson[], names: readonly string[]): EntityJson[] => {
  const model = entities.find(({ uid }) => 'type' in uid && uid.type === 'Agent' && uid.id === 'support-bot')
  if (!model) throw new Error('policies/ has no support-bot to make the agents after')
  return [...entities, ...names.map(id => ({ ...model, uid: { type: 'Agent', id } }))]
}

const settingsOf = ({ settings }: Bundle, tenant: string, jwks: object): Tenant => {
  const issuer = {
    id: 'bench',
    iss: ISSUER,
    algorithms: ['EdDSA'],
    jwks,
    roles: { allowed: ['agent', 'auditor'], default: ['agent'] },
    agent: { type: 'Agent' },
    user: { type: 'User' },
  }
  return v.parse(Tenant, { ...settings, tenant, issuers: [issuer] })
}

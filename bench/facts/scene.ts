import { request } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as v from 'valibot'
import { nameOf } from '../../src/durable/names.ts'
import { Facts } from '../../src/facts/declarations.ts'
import { type Bundle, type Pointer, writeBundle } from '../../src/policy/bundle.ts'
import { Tenant } from '../../src/policy/tenant.ts'
import { post, type Target } from '../http/load.ts'

const ORIGIN = 'https://countersign.example'
const TENANT = 'facts'
const PREDICATES = Array.from({ length: 10 }, (_, index) => `p${index}`)
const AGENTS = 16
/** How many orders are asked about: each has ten facts. */
const ASKED = 64

/** A tenant of ten facts about each order, its ledger, and agents that view orders. */
export const createFacts = async (count: number) => {
  const issuer = await generateKeyPair('EdDSA', { extractable: true })
  const signing = await generateKeyPair('Ed25519', { extractable: true })
  const now = Math.floor(Date.now() / 1000)
  const token = (iss: string, sub: string) =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: 'bench' })
      .setIssuer(iss)
      .setAudience(`${ORIGIN}/${TENANT}`)
      .setSubject(sub)
      .setIssuedAt(now)
      .setExpirationTime(now + 3_000)
      .sign(issuer.privateKey)
  const names = Array.from({ length: AGENTS }, (_, index) => `bench-${index}`)
  const agents = await Promise.all(
    names.map(async name => ({ name, token: await token('https://agents.bench', name) })),
  )
  const source = await token('https://orders.bench', 'orders')
  const { body, hash } = writeBundle(bundleOf({ ...(await exportJWK(issuer.publicKey)), kid: 'bench' }, names))
  const pointer: Pointer = { v: 1, seq: 1, hash, pushed_at: new Date().toISOString() }
  const observed_at = new Date().toISOString()

  return {
    vars: { ORIGIN, LOCAL: 'false', SIGNING_KEYS: JSON.stringify({ keys: [await exportJWK(signing.privateKey)] }) },
    keys: { [nameOf('pointer', TENANT)]: JSON.stringify(pointer), [nameOf('bundle', TENANT, hash)]: body },

    /** States all facts, some hundred at a time, as a source does. */
    push: async (port: number): Promise<void> => {
      for (let first = 0; first < count; first += 400) {
        const facts = Array.from({ length: Math.min(400, count - first) }, (_, index) => {
          const [order, predicate] = [Math.floor((first + index) / 10), PREDICATES[(first + index) % 10]]
          return { entity: { type: 'Order', id: `o-${order}` }, predicate, value: order, observed_at }
        })
        const answer = await send(port, `/${TENANT}/v1/facts`, source, { facts })
        if (answer.split('"recorded"').length !== facts.length + 1) throw new Error(answer.slice(0, 500))
      }
    },

    targets: (port: number): Target[] => [
      target('without claims', 'view', undefined, 'permit', port),
      target('10 claims, warm', 'view', '', '"verified"', port),
      target('10 claims, cold', 'view', 'fresh_', '"verified"', port),
    ],
  }

  function target(name: string, action: string, prefix: string | undefined, told: string, port: number): Target {
    return {
      name,
      port,
      requests: agents.map(({ name: id, token }, agent) =>
        Array.from({ length: ASKED / AGENTS }, (_, index) => {
          const order = agent * (ASKED / AGENTS) + index
          const claims = Object.fromEntries(PREDICATES.map(one => [`${prefix}${one}`, order]))
          const ask = {
            subject: { type: 'Agent', id },
            action: { name: action },
            resource: { type: 'Order', id: `o-${order}` },
            ...(prefix !== undefined && { context: { claims } }),
          }
          return post(`/${TENANT}/access/v1/evaluation`, ask, { authorization: `Bearer ${token}` })
        }),
      ),
      isRight: body => body.includes('"decision":true') && body.includes(told),
    }
  }
}

const bundleOf = (jwk: object, agents: string[]): Bundle => {
  const issuer = { algorithms: ['EdDSA'], jwks: { keys: [jwk] } }
  const declared = (extra: object) => ({ of: 'resource', type: 'Long', lifetime: '1d', ...extra })
  return {
    v: 1,
    settings: v.parse(Tenant, {
      tenant: TENANT,
      issuers: [
        {
          ...issuer,
          id: 'agents',
          iss: 'https://agents.bench',
          roles: { allowed: ['agent'], default: ['agent'] },
          agent: { type: 'Agent' },
        },
        {
          ...issuer,
          id: 'orders',
          iss: 'https://orders.bench',
          roles: { allowed: ['source'], default: ['source'] },
          source: 'orders',
        },
      ],
    }),
    policies: {
      staticPolicies: {
        view: {
          effect: 'permit',
          principal: { op: 'is', entity_type: 'Agent' },
          action: { op: '==', entity: { type: 'Action', id: 'view' } },
          resource: { op: 'All' },
          conditions: [],
          annotations: { id: 'view' },
        },
      },
    },
    texts: {
      view: { text: '@id("view") permit (principal is Agent, action == Action::"view", resource);', hash: 'v' },
    },
    schema: {
      '': {
        entityTypes: { Agent: {}, Order: {} },
        actions: { view: { appliesTo: { principalTypes: ['Agent'], resourceTypes: ['Order'] } } },
      },
    },
    entities: agents.map(id => ({ uid: { type: 'Agent', id }, attrs: {}, parents: [] })),
    facts: v.parse(Facts, {
      sources: { orders: { rank: 1, speaks_of: [{ type: 'Order', predicates: PREDICATES }] } },
      facts: Object.fromEntries(
        PREDICATES.flatMap(name => [
          [name, declared({ max_cache: '1h' })],
          [`fresh_${name}`, declared({ predicate: name })],
        ]),
      ),
    }),
  }
}

const send = (port: number, path: string, token: string, json: unknown): Promise<string> => {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', host: 'countersign.example' }
  const call = request({ host: '127.0.0.1', port, path, method: 'POST', headers }, response => {
    let text = ''
    response.on('data', chunk => {
      text += chunk
    })
    response.on('end', () => resolve(text))
  })
  call.on('error', reject)
  call.end(JSON.stringify(json))
  return promise
}

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { redact } from '../../src/audit/privacy/redact.ts'
import { agentName } from '../../src/decision/prepare.ts'
import { nameOf } from '../../src/durable/names.ts'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import type { Privacy } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { mend } from '../doubles.ts'
import { answerIn } from '../http/world.ts'
import { createLogWorld, exportOf, publish, verify } from './log/build.ts'

afterEach(() => {
  mend()
  clock.reset()
})

const personal: Privacy = {
  personal: [{ of: 'user', fields: ['user', 'arguments', 'resource', 'caller'] }],
}

const worldOf = async (privacy?: Privacy) => {
  const world = await createLogWorld(privacy ? { privacy } : {})
  const admin = await world.token({ roles: ['admin'] })
  const chain = agentName(world.tenant, { type: 'Agent', id: 'clerk' })
  const agent = () => env.AGENT.getByName(chain)
  return {
    ...world,
    chain,
    agent,
    /** Refunds for a user, with whatever the tool's other arguments are. */
    refund: async (user: string, args: Record<string, unknown> = {}, resource = '7') =>
      world.evaluate(
        {
          subject: { type: 'Agent', id: 'clerk' },
          action: { name: 'annotate', properties: { text: 'hello', ...args } },
          resource: { type: 'Order', id: resource },
        },
        { token: await world.agentToken('clerk', { user: { type: 'User', id: user }, admit: true }) },
      ),
    flush: async () => {
      clock.advance(2_000)
      await runDurableObjectAlarm(agent())
      await runDurableObjectAlarm(env.AGENT.getByName(recordChain(world.tenant)))
      await publish(world.tenant)
    },
    erase: (id: string) =>
      world.post('/v1/erasures', { subject: { type: 'User', id }, reason: 'asked to' }, { token: admin }),
    decision: async (id: string) => world.getJson(`/v1/decisions/${id}`),
  }
}
type PrivacyWorld = Awaited<ReturnType<typeof worldOf>>

const recordChain = (tenant: string) => nameOf('unattributed', tenant, 'record')

/** Everything that is stored of a tenant anywhere: D1, the agent's object, the log's bucket. */
const stored = async ({ tenant, agent }: PrivacyWorld): Promise<string> => {
  const rows = await env.DB.prepare('SELECT * FROM receipts WHERE tenant = ?').bind(tenant).all()
  const policies = await env.DB.prepare('SELECT * FROM receipt_policies WHERE tenant = ?').bind(tenant).all()
  const own = await runInDurableObject(agent(), (_, { storage }) =>
    ['receipt', 'reply', 'self'].map(name => storage.sql.exec(`SELECT * FROM ${name}`).toArray()),
  )
  return JSON.stringify([rows.results, policies.results, own])
}

it('what policy marks as personal is nowhere in clear, and auditors read it', async () => {
  const world = await worldOf(personal)
  const { context } = await world.refund('ann-of-cleves', { note: 'allergic to peanuts' })
  await world.flush()
  const all = await stored(world)
  for (const text of ['ann-of-cleves', 'peanuts', 'hello']) expect(all).not.toContain(text)
  const { secrets } = await world.decision(context.evaluation_id)
  expect(secrets.user.value).toEqual({ type: 'User', id: 'ann-of-cleves' })
  expect(secrets.arguments.value).toMatchObject({ note: 'allergic to peanuts' })
  const found = await world.getJson(`/v1/receipts?user=${encodeURIComponent('User::"ann-of-cleves"')}`)
  expect(found.receipts).toHaveLength(1)
  const byResource = await world.getJson(`/v1/receipts?resource=${encodeURIComponent('Order::"7"')}`)
  expect(byResource.receipts).toHaveLength(1)
})

it('an erasure takes one person’s data for good, is on record, and the record still verifies', async () => {
  const world = await worldOf(personal)
  const ann = (await world.refund('ann')).context.evaluation_id
  const ben = (await world.refund('ben')).context.evaluation_id
  await world.flush()
  expect((await world.erase('cay')).status).toBe(404)
  expect((await world.erase('ann')).status).toBe(200)
  expect((await world.erase('ann')).status).toBe(404)
  await world.flush()
  const gone = await world.decision(ann)
  expect(gone.secrets).toEqual({})
  expect(gone.body.decision.outcome).toBe('deny')
  expect((await world.decision(ben)).secrets.user.value.id).toBe('ben')
  const search = async (user: string) =>
    (await world.getJson(`/v1/receipts?user=${encodeURIComponent(`User::"${user}"`)}`)).receipts.length
  expect([await search('ann'), await search('ben')]).toEqual([0, 1])
  // who comes back after that is somebody new
  const again = (await world.refund('ann')).context.evaluation_id
  await world.flush()
  expect((await world.decision(again)).secrets.user.value.id).toBe('ann')
  expect((await world.decision(ann)).secrets).toEqual({})

  const lines = await exportOf(world)
  expect(lines.join()).not.toContain('"id":"ben"')
  const { keys } = await world.getJson('/v1/log')
  const verdict = await verify(lines, keys)
  expect(verdict.findings).toEqual([])
  expect(lines.filter(line => line.includes('"kind":"erasure"'))).toHaveLength(1)
})

it.each([
  ['jwt', { note: `see ${'eyJhbGciOiJFZERTQSJ9'}.eyJzdWIiOiJhZ2VudCJ9.c2lnbmF0dXJlc2lnbmF0dXJl` }],
  ['private_key', { note: '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE' }],
  ['aws_access_key', { deep: [{ er: 'AKIAIOSFODNN7EXAMPLE' }] }],
  ['github_token', { note: `ghp_${'a1B2'.repeat(9)}` }],
  ['url_password', { url: 'postgres://admin:hunter22@db.example/orders' }],
  ['card_number', { note: 'pay with 4111 1111 1111 1111 please' }],
  ['named', { password: 'hunter22' }],
  ['named', { 'Api-Key': 'hunter22' }],
  ['named', { nested: { client_secret: { deep: 'hunter22' } } }],
])('a credential (%s) is masked before anything is stored', async (form, args) => {
  const world = await worldOf()
  const { context } = await world.refund('ann', args)
  await world.flush()
  const all = await stored(world)
  for (const text of ['c2lnbmF0dXJl', 'MHcCAQEE', 'AKIAIOSFODNN7EXAMPLE', 'a1B2a1B2', 'hunter22', '4111 1111'])
    expect(all).not.toContain(text)
  const { secrets, body } = await world.decision(context.evaluation_id)
  expect(JSON.stringify(secrets.arguments.value)).toContain(`[masked: ${form}]`)
  // a hash of it could be guessed back to it
  expect(body.action_hash).toBeUndefined()
})

it('a tenant may refuse credentials, and is told where they are', async () => {
  const world = await worldOf({ personal: [], credentials: { names: ['pet'], on_sight: 'refuse' } })
  const { decision, context } = await world.refund('ann', { colour: 'red', PET: 'rex' })
  expect(decision).toBe(false)
  expect(context).toMatchObject({ reason: 'credential_refused', recorded: true })
  expect(context.problems).toEqual([
    { pointer: '/action/properties/PET', code: 'malformed', expected: 'no credential (named)' },
  ])
  expect((await world.refund('ann', { card: '1234 5678 9012 3456', pinned: true })).context.reason).not.toBe(
    'credential_refused',
  )
})

it('where masking fails nothing of the request is kept, and it is denied', () => {
  let deep: unknown = 'hunter22'
  for (let level = 0; level < 80; level++) deep = [deep]
  const ask = (properties: Record<string, unknown>) => ({
    subject: { type: 'Agent', id: 'clerk', properties: { note: 'hunter22' } },
    action: { name: 'annotate', properties },
    resource: { type: 'Order', id: 'hunter22' },
  })
  const thrower = Object.defineProperty({}, 'x', { enumerable: true, get: () => JSON.parse('{') })
  for (const properties of [{ deep }, { all: Array.from({ length: 60_000 }, () => 0) }, { thrower }]) {
    const kept = redact(ask(properties), undefined)
    expect(kept.denied).toEqual({ reason: 'redaction_failed' })
    expect(JSON.stringify(kept.ask)).not.toContain('hunter22')
  }
})

it.each([
  ['the key of keys is wrong', { KEY_ENCRYPTION_KEY: 'nonsense' }],
  [
    'D1 is out of reach',
    {
      DB: new Proxy(env.DB, {
        get: () => () => {
          throw new Error('D1 is cut off')
        },
      }),
    },
  ],
])('where %s, nothing personal is stored and the decision is denied', async (_, broken) => {
  const world = await worldOf(personal)
  const app = createApp({ now: () => clock.now(), source: createSource() })
  const ctx = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} }
  const send = async (request: Request) => app.fetch(request, { ...env, ...broken }, ctx as never)
  const ask = {
    subject: { type: 'Agent', id: 'clerk' },
    action: { name: 'annotate', properties: { text: 'hunter22', colour: 'red', size: [1, 2] } },
    resource: { type: 'Order', id: 'hunter23' },
  }
  const token = await world.agentToken('clerk', { user: { type: 'User', id: 'hunter24' }, admit: true })
  const { context } = await answerIn(await world.post('/access/v1/evaluation', ask, { token, send }))
  expect(context).toMatchObject({ outcome: 'deny', reason: 'redaction_failed', recorded: true })
  await world.flush()
  expect(await stored(world)).not.toMatch(/hunter2/)
})

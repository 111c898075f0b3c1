import { createExecutionContext, listDurableObjectIds } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { generateKeyPair } from 'jose'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import { answerIn, answersIn, asking, brief, createWorld, problemIn, refund, sign, type World } from './world.ts'

/** What callers send that they shouldn't (nothing of it is answered 5xx; see also fuzz.test.ts). */

const SINGLE = '/access/v1/evaluation'
const BATCH = '/access/v1/evaluations'
const BOTH = [SINGLE, BATCH]

let world: World
let agent: string
let pep: string
beforeAll(async () => {
  world = await createWorld()
  agent = await world.agentToken()
  pep = await world.pepToken()
})

const sendText = (body: BodyInit, path = SINGLE, headers: Record<string, string> = {}) =>
  world.send('POST', path, body, { token: agent, headers: { 'content-type': 'application/json', ...headers } })
const decisionsOf = async (id?: string, type?: string): Promise<Record<string, unknown>[]> =>
  (await world.receipts(id, type)).map(({ body }) => JSON.parse(body).decision)

describe.each(BOTH)('a wrong or missing token at %s', path => {
  const now = () => Math.floor(clock.now() / 1000)
  const claims = () => ({
    iss: 'urn:countersign:development',
    sub: 's',
    aud: world.identifier,
    iat: now(),
    exp: now() + 60,
  })

  it.each<[string, () => Promise<string | undefined>, 'unauthenticated' | 'invalid_token']>([
    ['none', async () => undefined, 'unauthenticated'],
    ['another scheme', async () => 'Basic dXNlcjpwYXNz', 'unauthenticated'],
    ['an empty token', async () => 'Bearer ', 'invalid_token'],
    ['no token at all', async () => 'Bearer x.y', 'invalid_token'],
    ['two tokens', async () => `Bearer ${agent}, Bearer ${agent}`, 'invalid_token'],
    ['a signature with one character changed', async () => `Bearer ${agent.slice(0, -3)}AAA`, 'invalid_token'],
    ['no signature', async () => `Bearer ${agent.split('.').slice(0, 2).join('.')}.`, 'invalid_token'],
    [
      'the key of a stranger',
      async () => `Bearer ${await sign({ ...claims(), roles: ['pep'] }, (await generateKeyPair('EdDSA')).privateKey)}`,
      'invalid_token',
    ],
    [
      'expired',
      async () => `Bearer ${await world.agentToken('clerk', { iat: now() - 90, exp: now() - 40 })}`,
      'invalid_token',
    ],
    [
      'another audience',
      async () => `Bearer ${await world.agentToken('clerk', { aud: 'https://other' })}`,
      'invalid_token',
    ],
    [
      'an unknown issuer',
      async () => `Bearer ${await world.agentToken('clerk', { iss: 'https://idp' })}`,
      'invalid_token',
    ],
    [
      'a permit',
      async () => `Bearer ${(await world.evaluate(asking('read'), { token: agent })).context.permit}`,
      'invalid_token',
    ],
    ['too long', async () => `Bearer ${agent}${'A'.repeat(9_000)}`, 'invalid_token'],
  ])('%s: 401 with a reason, and no hint about what is wrong', async (_, authorization, reason) => {
    const value = await authorization()
    const headers = { ...(value !== undefined && { authorization: value }) }
    const response = await world.post(path, asking('read'), { headers })
    expect(response.status).toBe(401)
    const challenge = reason === 'invalid_token' ? 'Bearer error="invalid_token"' : 'Bearer'
    expect(response.headers.get('www-authenticate')).toBe(challenge)
    const problem = await problemIn(response)
    // The same for each, but for there being a token.
    expect(problem).toEqual({ type: expect.any(String), title: expect.any(String), status: 401, reason })
  })

  it('is refused before anything of the body is looked at', async () => {
    const response = await world.send('POST', path, '{"a":1,"a":2', { token: 'x.y.z' })
    expect((await problemIn(response)).reason).toBe('invalid_token')
  })

  it.each([[[]], [['admin']], [['auditor', 'approver']], [['Agent']]])('roles %j: 403', async roles => {
    const token = await world.token({ roles, agent: { type: 'Agent', id: 'clerk' } })
    const response = await world.send('POST', path, 'not json', { token })
    expect(response.status).toBe(403)
    expect((await problemIn(response)).reason).toBe('forbidden_role')
  })
})

it('callers that are refused make no object and leave no receipt', async () => {
  const other = await createWorld()
  const before = await listDurableObjectIds(env.AGENT)
  const tokens = [
    undefined,
    'x.y.z',
    await other.token({ roles: ['admin'] }),
    await other.agentToken('clerk', { aud: 'x' }),
  ]
  for (const token of tokens) await other.post(SINGLE, asking('read'), { token })
  for (const body of ['{', '[]', '{"subject":1}'])
    await other.send('POST', SINGLE, body, { token: await other.pepToken() })
  expect(await listDurableObjectIds(env.AGENT)).toHaveLength(before.length)
})

describe.each(BOTH)('a body at %s', path => {
  const padded = (bytes: number, text = JSON.stringify(asking('read'))) => text + ' '.repeat(bytes - text.length)
  const streamed = (text: string, chunk = 1_000): ReadableStream => {
    const bytes = new TextEncoder().encode(text)
    let at = 0
    return new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) return controller.close()
        controller.enqueue(bytes.slice(at, at + chunk))
        at += chunk
      },
    })
  }

  it('of 64 KiB is taken', async () => {
    await answerIn(await sendText(padded(65_536), path))
    await answerIn(await sendText(streamed(padded(65_536)), path))
  })

  it.each<[string, () => Promise<Response>]>([
    ['as a text', () => sendText(padded(65_537), path)],
    ['with its length declared', () => sendText(padded(65_537), path, { 'content-length': '65537' })],
    ['as a stream, of no declared length', () => sendText(streamed(padded(65_537)), path)],
    ['that never ends', () => sendText(streamed(padded(10_000_000), 20_000), path)],
    ['counted in bytes, not in characters', () => sendText(JSON.stringify({ a: 'é'.repeat(33_000) }), path)],
  ])('over 64 KiB %s: 413', async (_, send) => {
    const response = await send()
    expect(response.status).toBe(413)
    expect((await problemIn(response)).reason).toBe('body_too_large')
  })

  it.each(['10', 'x', '-1', '1e3', ''])('over 64 KiB that claims to have %j bytes is still too large', async length => {
    const app = createApp({ now: clock.now, source: createSource() })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${agent}`, 'content-length': length }
    const request = new Request(`${world.identifier}${path}`, { method: 'POST', headers, body: padded(70_000) })
    const response = await app.fetch(request, env, createExecutionContext())
    expect(response.status).toBe(413)
  })

  it.each<[string, BodyInit, string]>([
    ['malformed', '{"subject":}', ''],
    ['cut off', '{"subject":{"type":"Agent"', ''],
    ['with trailing garbage', `${JSON.stringify(asking('read'))};`, ''],
    ['with a byte order mark', `\ufeff${JSON.stringify(asking('read'))}`, ''],
    ['with a byte order mark, as bytes', new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), ''],
    ['of invalid UTF-8', new Uint8Array([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d]), ''],
    ['with an overlong encoding', new Uint8Array([0x22, 0xc0, 0xaf, 0x22]), ''],
    ['with a surrogate encoded as UTF-8', new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), ''],
    ['in UTF-16', new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]), ''],
    ['with a key twice', '{"subject":{"type":"A","id":"1"},"subject":{"type":"B","id":"1"}}', '/subject'],
    [
      'with a nested key twice',
      '{"action":{"name":"read","properties":{"a":{"b":1,"b":2}}}}',
      '/action/properties/a/b',
    ],
    ['with a key twice, once escaped', '{"action":{"name":"read","n\\u0061me":"refund"}}', '/action/name'],
    [
      'with a key twice in an item',
      '{"evaluations":[{},{"resource":{"id":"1","id":"2"}}]}',
      '/evaluations/1/resource/id',
    ],
    ['nested deeper than 16', `{"context":${'['.repeat(16)}${']'.repeat(16)}}`, `/context${'/0'.repeat(15)}`],
    ['with a lone surrogate', '{"subject":{"type":"Agent","id":"\\udfff"}}', '/subject/id'],
    [
      'with a number beyond all doubles',
      '{"action":{"name":"refund","properties":{"amount":1e400}}}',
      '/action/properties/amount',
    ],
    ['with __proto__', '{"action":{"name":"read","properties":{"__proto__":{"a":1}}}}', '/action/properties/__proto__'],
  ])('%s: 400 with the pointer of the place', async (_, body, pointer) => {
    const response = await sendText(body, path)
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_json', pointer })
  })
})

describe('an envelope of wrong types: 400 with the pointer of the place', () => {
  it.each<[string, unknown, string]>([
    ['null', null, ''],
    ['a number', 5, ''],
    ['a text', 'read', ''],
    ['a list', [], ''],
    ['subject a list', asking('read', { subject: [] }), '/subject/type'],
    ['subject null', asking('read', { subject: null }), '/subject'],
    ['subject.id a number', asking('read', { subject: { type: 'Agent', id: 7 } }), '/subject/id'],
    ['subject.id too long', asking('read', { subject: { type: 'Agent', id: 'x'.repeat(513) } }), '/subject/id'],
    [
      'subject.properties a list',
      asking('read', { subject: { type: 'Agent', id: 'clerk', properties: [] } }),
      '/subject/properties',
    ],
    ['resource a text', asking('read', { resource: 'Order' }), '/resource'],
    [
      'resource.properties a text',
      asking('read', { resource: { type: 'Order', id: '1', properties: 'x' } }),
      '/resource/properties',
    ],
    ['action a text', { ...asking('read'), action: 'read' }, '/action'],
    ['action.properties a list', { ...asking('read'), action: { name: 'read', properties: [] } }, '/action/properties'],
    ['action.properties null', { ...asking('read'), action: { name: 'read', properties: null } }, '/action/properties'],
    ['context a list', asking('read', { context: [1] }), '/context'],
    ['context a text', asking('read', { context: 'x' }), '/context'],
  ])('%s', async (_, body, pointer) => {
    for (const path of BOTH) {
      const response = await world.post(path, body, { token: agent })
      expect(response.status).toBe(400)
      expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
    }
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['evaluations an object', { evaluations: {} }, '/evaluations'],
    ['evaluations null', { evaluations: null }, '/evaluations'],
    ['an evaluation that is a text', { evaluations: [{}, 'x'] }, '/evaluations/1'],
    ['an evaluation that is null', { evaluations: [null] }, '/evaluations/0'],
    ['an evaluation that is a list', { evaluations: [{}, {}, []] }, '/evaluations/2'],
    ['more than 100 evaluations', { evaluations: Array.from({ length: 101 }, () => ({})) }, '/evaluations'],
    ['options a text', { evaluations: [{}], options: 'execute_all' }, '/options'],
    ['options a list', { evaluations: [{}], options: [] }, '/options'],
    [
      'an unknown semantic',
      { evaluations: [{}], options: { evaluations_semantic: 'all' } },
      '/options/evaluations_semantic',
    ],
    [
      'a semantic that every object has',
      { evaluations: [{}], options: { evaluations_semantic: 'constructor' } },
      '/options/evaluations_semantic',
    ],
    ['a default of a wrong type', { evaluations: [{}], subject: 'clerk' }, '/subject'],
    ['a default with a wrong part', { evaluations: [{}], resource: { type: 'Order' } }, '/resource/id'],
    ['a default context of a wrong type', { evaluations: [{}], context: [] }, '/context'],
  ])('a batch with %s', async (_, change, pointer) => {
    const response = await world.post(BATCH, { ...asking('read'), ...change }, { token: agent })
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
  })

  it('100 evaluations are taken', async () => {
    const evaluations = Array.from({ length: 100 }, () => ({}))
    expect(await world.evaluateAll({ ...asking('read'), evaluations }, { token: agent })).toHaveLength(100)
  })

  it('an item of a batch is refused for itself, with the pointer into the batch', async () => {
    const evaluations = [{}, { resource: { type: 'Order' } }, { action: { name: 5 } }, {}]
    const items = await world.evaluateAll({ ...asking('read'), evaluations }, { token: agent })
    expect(items.map(brief)).toEqual([
      'allow: permitted',
      'no: malformed_request',
      'no: malformed_request',
      'allow: permitted',
    ])
    expect(items[1]?.context).toMatchObject({ error: { status: 400, pointer: '/evaluations/1/resource/id' } })
    expect(items[2]?.context).toMatchObject({ error: { status: 400, pointer: '/evaluations/2/action/name' } })
  })

  it.each(['', 'a b', 'ä', 'x'.repeat(256)])('an Idempotency-Key that is none: %j', async key => {
    const response = await world.post(SINGLE, asking('read'), { token: agent, headers: { 'idempotency-key': key } })
    expect(response.status).toBe(400)
    expect((await problemIn(response)).reason).toBe('malformed_request')
  })
})

describe('a member that a query does not have is refused, so a misspelt one is not taken for none', () => {
  it.each([
    ['GET', '/v1/agents/Agent/clerk/session?ID=s1', '/ID'],
    ['GET', '/v1/waits/Agent/clerk/none?second=5', '/second'],
    ['GET', '/access/v1/requests/none?waite=5', '/waite'],
    ['GET', '/access/v1/requests/none?wait=x', '/wait'],
    ['GET', '/v1/log/consistency?from=0&to=0&too=1', '/too'],
    ['GET', '/v1/log/bundles/0?size=0&sauce=agents', '/sauce'],
    ['POST', '/v1/log/cosignatures?size=0&sise=1', '/sise'],
    ['POST', '/v1/record/refill?aftr=x', '/aftr'],
  ])('%s %s', async (method, path, pointer) => {
    const token = await world.token({ roles: ['admin', 'auditor'] })
    const found = await problemIn(await world.send(method, path, undefined, { token }))
    expect(found).toMatchObject({ status: 400, reason: 'malformed_request', pointer })
  })
})

describe('a request that does not fit the schema is denied with its places, and recorded', () => {
  const order = { type: 'Order', id: '7' }
  it.each<[string, Record<string, unknown>, string, { pointer: string; code: string }[]]>([
    [
      'a missing argument',
      { ...asking('refund') },
      'schema_mismatch',
      [{ pointer: '/action/properties/amount', code: 'missing' }],
    ],
    [
      'an argument of another type',
      refund('5'),
      'schema_mismatch',
      [{ pointer: '/action/properties/amount', code: 'mistyped' }],
    ],
    [
      'a fraction for a Long',
      refund(1.5),
      'schema_mismatch',
      [{ pointer: '/action/properties/amount', code: 'mistyped' }],
    ],
    [
      'an integer beyond 2^53-1',
      refund(2 ** 53),
      'schema_mismatch',
      [{ pointer: '/action/properties/amount', code: 'malformed' }],
    ],
    ['null', refund(null), 'schema_mismatch', [{ pointer: '/action/properties/amount', code: 'mistyped' }]],
    [
      'an undeclared argument',
      refund(1, { more: 1 }),
      'schema_mismatch',
      [{ pointer: '/action/properties/more', code: 'undeclared' }],
    ],
    [
      'a decimal of five places',
      refund(1, { rate: 0.00001 }),
      'schema_mismatch',
      [{ pointer: '/action/properties/rate', code: 'malformed' }],
    ],
    [
      'a date that is none',
      refund(1, { since: 'yesterday' }),
      'schema_mismatch',
      [{ pointer: '/action/properties/since', code: 'malformed' }],
    ],
    [
      'an entity of another type',
      refund(1, { ticket: { type: 'User', id: '1' } }),
      'schema_mismatch',
      [{ pointer: '/action/properties/ticket/type', code: 'mistyped' }],
    ],
    [
      'an element of another type',
      refund(1, { tags: ['a', 2] }),
      'schema_mismatch',
      [{ pointer: '/action/properties/tags/1', code: 'mistyped' }],
    ],
    [
      'a member whose name needs escapes',
      refund(1, { 'odd/na~me': { deep: 1 } }),
      'schema_mismatch',
      [{ pointer: '/action/properties/odd~1na~0me/deep', code: 'mistyped' }],
    ],
    [
      'everything at once',
      {
        subject: { type: 'Agent', id: 'clerk' },
        action: { name: 'refund', properties: { amount: 'x', more: 1 } },
        resource: { type: 'Ledger', id: '1' },
      },
      'schema_mismatch',
      [
        { pointer: '/resource/type', code: 'mistyped' },
        { pointer: '/action/properties/amount', code: 'mistyped' },
        { pointer: '/action/properties/more', code: 'undeclared' },
      ],
    ],
    [
      'a resource type that the action does not take',
      asking('read', { resource: { type: 'Ledger', id: '1' } }),
      'schema_mismatch',
      [{ pointer: '/resource/type', code: 'mistyped' }],
    ],
    [
      'a resource type that nobody knows',
      asking('read', { resource: { type: 'Spaceship', id: '1' } }),
      'schema_mismatch',
      [{ pointer: '/resource/type', code: 'mistyped' }],
    ],
    [
      'a resource type that is no name',
      asking('read', { resource: { type: ' "\\::', id: '1' } }),
      'schema_mismatch',
      [{ pointer: '/resource/type', code: 'mistyped' }],
    ],
    ...['constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__'].map(
      (name): [string, Record<string, unknown>, string, { pointer: string; code: string }[]] => [
        `an argument named ${name}`,
        refund(1, { [name]: 1 }),
        'schema_mismatch',
        [{ pointer: `/action/properties/${name}`, code: 'undeclared' }],
      ],
    ),
    ...['fly', '', 'constructor', 'Action::"read"', 'READ'].map(
      (name): [string, Record<string, unknown>, string, { pointer: string; code: string }[]] => [
        `an unknown action ${JSON.stringify(name)}`,
        { ...asking(name), resource: order },
        'unknown_action',
        [],
      ],
    ),
  ])('%s', async (_, ask, reason, problems) => {
    const { decision, context } = await world.evaluate(ask, { token: agent })
    expect(decision).toBe(false)
    expect(context).toMatchObject({ outcome: 'deny', reason, recorded: true, bundle: world.first.hash })
    const places = (context.problems ?? []).map(({ pointer, code }) => ({ pointer, code }))
    expect(places.toSorted((a, b) => (a.pointer < b.pointer ? -1 : 1))).toEqual(
      problems.toSorted((a, b) => (a.pointer < b.pointer ? -1 : 1)),
    )
    const [record] = (await decisionsOf()).filter(({ evaluation_id }) => evaluation_id === context.evaluation_id)
    expect(record).toMatchObject({
      outcome: 'deny',
      reason,
      ...(problems.length > 0 && { problems: context.problems }),
    })
  })

  it.each<[string, Record<string, unknown>, string]>([
    [
      'a subject of a type that the action does not take',
      asking('read', { subject: { type: 'Order', id: '7' } }),
      '/subject/type',
    ],
    [
      "a subject's property of another type",
      asking('export', { subject: { type: 'Agent', id: 'clerk', properties: { tier: 5 } } }),
      '/subject/properties/tier',
    ],
    [
      "a resource's property of another type",
      asking('export', { resource: { type: 'Order', id: '7', properties: { status: {} } } }),
      '/resource/properties/status',
    ],
    ['an environment of another type', asking('export', { context: { channel: 5 } }), '/context/channel'],
    ['an address that is none', asking('export', { context: { ip: 'home' } }), '/context/ip'],
  ])('what a PEP says: %s', async (_, ask, pointer) => {
    const { context } = await world.evaluate(ask, { token: pep })
    expect(context).toMatchObject({
      outcome: 'deny',
      reason: 'schema_mismatch',
      recorded: true,
      problems: [{ pointer }],
    })
  })

  it('a subject of a type that nobody knows, on no agent', async () => {
    const before = await world.unattributed()
    const objects = await listDurableObjectIds(env.AGENT)
    const { context } = await world.evaluate(asking('read', { subject: { type: 'Ghost', id: crypto.randomUUID() } }), {
      token: pep,
    })
    expect(context).toMatchObject({ outcome: 'deny', reason: 'unknown_principal', recorded: true })
    expect(await world.unattributed()).toHaveLength(before.length + 1)
    expect((await listDurableObjectIds(env.AGENT)).length - objects.length).toBeLessThanOrEqual(4)
  })

  it('an action for a user that takes no users', async () => {
    const token = await world.agentToken('clerk', { user: { type: 'User', id: 'lea' } })
    const { context } = await world.evaluate(asking('sweep'), { token })
    expect(context).toMatchObject({ reason: 'schema_mismatch', problems: [{ pointer: '/subject/type' }] })
    expect((await world.evaluate(asking('sweep'), { token: agent })).decision).toBe(true)
  })
})

describe('an agent that the bundle does not know', () => {
  it("is recorded on an unattributed chain, on no agent's object, whoever it says it is", async () => {
    const other = await createWorld()
    const ghosts = Array.from({ length: 12 }, (_, n) => `ghost-${n}`)
    for (const id of ghosts) {
      const token = await other.agentToken(id, { sub: id })
      const { context } = await other.evaluate({ ...asking('read'), subject: { type: 'Agent', id } }, { token })
      expect(context).toMatchObject({ outcome: 'deny', reason: 'unknown_agent', recorded: true })
    }
    const records = (await other.unattributed()).map(({ body }) => JSON.parse(body))
    expect(records.map(({ decision }) => decision.reason)).toEqual(ghosts.map(() => 'unknown_agent'))
    for (const id of ghosts) expect(await other.object(id).status()).toBeUndefined()
  })

  it('also where its token names no agent at all', async () => {
    const token = await world.token({ roles: ['agent'], sub: 'nobody' })
    const { context } = await world.evaluate(asking('read'), { token })
    expect(context).toMatchObject({ reason: 'unknown_agent', recorded: true })
    expect((await decisionsOf()).some(({ evaluation_id }) => evaluation_id === context.evaluation_id)).toBe(false)
  })

  it('is limited in its attempts, all strangers together, and agents are not', async () => {
    const other = await createWorld()
    const token = await other.agentToken('ghost')
    const batch = {
      ...asking('read'),
      subject: { type: 'Agent', id: 'ghost' },
      evaluations: Array.from({ length: 61 }, () => ({})),
    }
    const items = await other.evaluateAll(batch, { token })
    expect(items.filter(item => item.context.reason === 'unknown_agent').length).toBeLessThanOrEqual(60)
    expect(items.at(-1)?.context).toMatchObject({
      reason: 'too_many_attempts',
      recorded: false,
      error: { status: 429 },
    })

    const response = await other.post(SINGLE, batch, { token })
    expect(response.status).toBe(429)
    expect(await problemIn(response)).toMatchObject({ reason: 'too_many_attempts', retry_after: expect.any(Number) })
    expect((await other.evaluate(asking('read'), { token: await other.agentToken() })).decision).toBe(true)
  })

  it('is known where its issuer admits whom it names', async () => {
    const token = await world.agentToken('newcomer', { admit: true, groups: [{ type: 'Team', id: 'desk' }] })
    const ask = { ...asking('read'), subject: { type: 'Agent', id: 'newcomer' } }
    expect((await world.evaluate(ask, { token })).context.reason).toBe('permitted')
  })
})

describe('answers of every kind', () => {
  const kinds: [
    string,
    number,
    () => { method?: string; path?: string; body?: BodyInit; token?: string | undefined },
  ][] = [
    ['a decision', 200, () => ({})],
    ['a batch', 200, () => ({ path: BATCH, body: JSON.stringify({ ...asking('read'), evaluations: [{}] }) })],
    ['no token', 401, () => ({ token: undefined })],
    ['a wrong token', 401, () => ({ token: 'x.y.z' })],
    ['malformed JSON', 400, () => ({ body: '{' })],
    ['too large a body', 413, () => ({ body: ' '.repeat(70_000) })],
    [
      "somebody else's subject",
      403,
      () => ({ body: JSON.stringify(asking('read', { subject: { type: 'Agent', id: 'helper' } })) }),
    ],
    ['no such path', 404, () => ({ path: '/access/v2/evaluation' })],
    ['no such path, GET', 404, () => ({ method: 'GET', path: '/nothing' })],
    ['no such tenant', 404, () => ({ path: `${env.ORIGIN}/No_Tenant/access/v1/evaluation` })],
    ['another method', 405, () => ({ method: 'PUT' })],
    ['another method of the metadata', 405, () => ({ path: '/.well-known/authzen-configuration' })],
    ['metadata', 200, () => ({ method: 'GET', path: '/.well-known/authzen-configuration' })],
    ['keys', 200, () => ({ method: 'GET', path: '/.well-known/jwks.json' })],
    ['a tenant without policies', 200, () => ({ path: `${env.ORIGIN}/nobody-here/access/v1/evaluation` })],
  ]
  it.each(kinds)('%s (%i) carry the X-Request-ID of their request', async (_, status, request) => {
    const { method = 'POST', path = SINGLE, body = JSON.stringify(asking('read')), ...more } = request()
    const token = 'token' in more ? more.token : agent
    const headers = { 'x-request-id': 'Ab/9 ~"{}' }
    const response = await world.send(method, path, method === 'GET' ? undefined : body, { token, headers })
    expect(response.status).toBe(status)
    expect(response.headers.get('x-request-id')).toBe('Ab/9 ~"{}')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('cache-control')).toBe(
      path === '/.well-known/jwks.json' ? 'public, max-age=300' : 'no-store',
    )
    if (status >= 400) await problemIn(response)
  })

  it('a request without X-Request-ID gets none', async () => {
    expect((await world.post(SINGLE, asking('read'), { token: agent })).headers.has('x-request-id')).toBe(false)
  })

  it.each(['é', '😀', 'x'.repeat(2_000), `${'x'.repeat(255)}😀`])('the identifier may be any text: %j', async id => {
    const response = await world.post(SINGLE, asking('read'), { token: agent, headers: { 'x-request-id': id } })
    expect((await answerIn(response)).decision).toBe(true)
    expect(response.headers.get('x-request-id')).toBe(id)
  })

  it('another method: 405 with the methods there are', async () => {
    const response = await world.send('GET', SINGLE, undefined, { token: agent })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('POST')
    expect((await problemIn(response)).reason).toBe('method_not_allowed')
    const metadata = await world.send('DELETE', '/.well-known/jwks.json', undefined)
    expect(metadata.headers.get('allow')).toBe('GET, HEAD')
  })

  it('a failure of the control plane itself is a problem too, and tells nothing', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const app = createApp({ now: clock.now, source: createSource() })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${agent}`, 'x-request-id': 'r-1' }
    const request = new Request(`${world.identifier}${SINGLE}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(asking('read')),
    })
    const response = await app.fetch(
      request,
      { ...env, SIGNING_KEYS: '{"secret":"d-value"}' },
      createExecutionContext(),
    )
    expect(log).toHaveBeenCalledOnce()
    log.mockRestore()
    expect(response.status).toBe(500)
    expect(response.headers.get('x-request-id')).toBe('r-1')
    expect(await problemIn(response)).toEqual({
      type: expect.any(String),
      title: expect.any(String),
      status: 500,
      reason: 'internal',
    })
  })

  it('a tenant without policies denies everything, on no record', async () => {
    const nobody = `${env.ORIGIN}/nobody-${crypto.randomUUID().slice(0, 8)}`
    const single = await world.post(`${nobody}${SINGLE}`, asking('read'), { token: agent })
    expect((await answerIn(single)).context).toMatchObject({ outcome: 'deny', reason: 'no_policy', recorded: false })
    const batch = { ...asking('read'), evaluations: [{}, {}, {}] }
    const all = await answersIn(await world.post(`${nobody}${BATCH}`, batch, { token: agent }))
    expect(all.map(brief)).toEqual(['no: no_policy', 'no: no_policy', 'no: no_policy'])
    const options = { evaluations_semantic: 'deny_on_first_deny' }
    const first = await answersIn(await world.post(`${nobody}${BATCH}`, { ...batch, options }, { token: agent }))
    expect(first.map(brief)).toEqual(['no: no_policy'])
  })

  it('the description of the API has every endpoint', async () => {
    const response = await exports.default.fetch(new Request(`${env.ORIGIN}/openapi.json`))
    expect(response.status).toBe(200)
    const { paths } = await response.json<{ paths: Record<string, object> }>()
    expect(Object.keys(paths)).toEqual(expect.arrayContaining([SINGLE, BATCH, '/.well-known/authzen-configuration']))
    expect(JSON.stringify(paths[SINGLE])).toContain('"properties":{"type":"object"')
  })
})

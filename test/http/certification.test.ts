import { env } from 'cloudflare:workers'
import { beforeAll, describe, expect, it } from 'vitest'
import { answerIn, answersIn, createWorld, problemIn, type World } from './world.ts'

/**
 * The certification scenario of AuthZEN Authorization API 1.0, as of commit
 * db50373a19110e1241d20dbb454c891d323b9b08 of openid/authzen (certification/authorization-api-1_0-scenario.md):
 * levels Basic, Batch and Discovery (Search: certification-search.test.ts). Each test has the id and the title of the
 * scenario's section. The fixture of
 * section c-1 is the policy folder test/fixtures/certification; the harness is a PEP.
 */

let world: World
let token: string
beforeAll(async () => {
  world = await createWorld({ folder: 'certification' })
  token = await world.pepToken()
})

const evaluation = (body: unknown, headers?: Record<string, string>) =>
  world.post('/access/v1/evaluation', body, { token, ...(headers && { headers }) })
const evaluations = (body: unknown) => world.post('/access/v1/evaluations', body, { token })
const decision = async (body: unknown): Promise<boolean> => (await answerIn(await evaluation(body))).decision
const decisions = async (body: unknown): Promise<boolean[]> =>
  (await answersIn(await evaluations(body))).map(item => item.decision)

const alice = { type: 'user', id: 'alice' }
const bob = { type: 'user', id: 'bob' }
const read = { name: 'read' }
const write = { name: 'write' }
const record1 = { type: 'record', id: 'record-1' }
const record2 = { type: 'record', id: 'record-2' }
const archived = { ...record2, properties: { status: 'archived' } }
/** Decision rule 1. */
const permitted = { subject: alice, action: read, resource: record1 }

describe('Basic Core', () => {
  it('c-2-2-1 Fixture request -- permit decision', async () => {
    expect(await decision(permitted)).toBe(true)
  })

  it('c-2-2-2 Fixture request -- deny decision', async () => {
    expect(await decision({ subject: bob, action: write, resource: record1 })).toBe(false)
  })

  it('c-2-2-3 Request with optional context', async () => {
    const context = { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' }
    expect(await decision({ ...permitted, context })).toBe(true)
  })

  it('c-2-2-8 Request with additional properties', async () => {
    const request = {
      subject: { ...alice, properties: { department: 'Sales', role: 'manager' } },
      action: { ...read, properties: { method: 'GET' } },
      resource: { ...record1, properties: { status: 'active', owner: 'bob' } },
    }
    expect(await decision(request)).toBe(true)
  })

  it('c-2-2-9 Request with unknown fields', async () => {
    expect(await decision({ ...permitted, foo: 'bar', futureField: { nested: true } })).toBe(true)
  })

  it('c-2-3-1 Decision field is required', async () => {
    for (const action of [read, write]) {
      const response = await evaluation({ subject: bob, action, resource: record1 })
      expect(await response.json()).toHaveProperty('decision', action === read)
    }
  })

  it('c-2-3-2 Response context is permitted', async () => {
    expect(await (await evaluation(permitted)).json()).toHaveProperty('context', expect.objectContaining({}))
  })

  it.each(['subject', 'action', 'resource'])('c-2-4-1 Missing required fields: %s', async field => {
    const { [field]: _, ...rest } = permitted as Record<string, unknown>
    const response = await evaluation(rest)
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer: `/${field}` })
  })

  it.each([
    ['subject missing type', '/subject/type', { subject: { id: 'alice' } }],
    ['subject missing id', '/subject/id', { subject: { type: 'user' } }],
    ['action missing name', '/action/name', { action: {} }],
    ['resource missing type', '/resource/type', { resource: { id: 'record-1' } }],
    ['resource missing id', '/resource/id', { resource: { type: 'record' } }],
  ])('c-2-4-2 Missing required sub-fields: %s', async (_, pointer, change) => {
    const response = await evaluation({ ...permitted, ...change })
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', ''])(
    'c-2-4-3 Invalid content type: "%s"',
    async type => {
      const response = await evaluation(permitted, { 'content-type': type })
      expect(response.status).toBe(400)
      expect((await problemIn(response)).reason).toBe('unsupported_media_type')
    },
  )

  it('c-2-4-4 Malformed JSON', async () => {
    const response = await world.send('POST', '/access/v1/evaluation', '{"subject":', { token })
    expect(response.status).toBe(400)
    expect((await problemIn(response)).reason).toBe('malformed_json')
  })

  it('c-2-4-5 Empty request body', async () => {
    for (const body of ['', undefined]) {
      const headers = { 'content-type': 'application/json' }
      const response = await world.send('POST', '/access/v1/evaluation', body, { token, headers })
      expect(response.status).toBe(400)
      expect((await problemIn(response)).reason).toBe('malformed_json')
    }
  })

  it.each([
    ['subject is string instead of object', '/subject', { subject: 'alice' }],
    ['action.name is number instead of string', '/action/name', { action: { name: 123 } }],
  ])('c-2-4-6 Invalid field types: %s', async (_, pointer, change) => {
    const response = await evaluation({ ...permitted, ...change })
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
  })

  it('c-2-5-1 X-Request-ID echo', async () => {
    const id = 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716'
    for (const body of [permitted, {}]) {
      const response = await evaluation(body, { 'x-request-id': id })
      expect(response.headers.get('x-request-id')).toBe(id)
    }
  })

  it('c-2-5-2 X-Request-ID absent', async () => {
    expect((await evaluation(permitted)).status).toBe(200)
  })

  it('c-2-6 Idempotency', async () => {
    for (let times = 0; times < 3; times++) {
      expect(await decision(permitted)).toBe(true)
      expect(await decision({ subject: bob, action: write, resource: record1 })).toBe(false)
    }
  })
})

describe('Basic Properties', () => {
  it('c-2-2-4 Fixture request -- deny based on properties', async () => {
    expect(await decision({ subject: alice, action: write, resource: archived })).toBe(false)
    // "The deny is based on properties.status being "archived", not on the resource identifier."
    const other = { ...record1, properties: { status: 'archived' } }
    expect(await decision({ subject: alice, action: write, resource: other })).toBe(false)
  })

  it('c-2-2-5 Fixture request -- permit based on subject properties', async () => {
    const subject = { ...bob, properties: { role: 'admin' } }
    expect(await decision({ subject, action: write, resource: archived })).toBe(true)
  })

  it('c-2-2-6 Fixture request -- permit based on action properties', async () => {
    const action = { name: 'delete', properties: { soft: true } }
    expect(await decision({ subject: alice, action, resource: record1 })).toBe(true)
  })

  it('c-2-2-7 Fixture request -- deny based on action properties', async () => {
    const action = { name: 'delete', properties: { soft: false } }
    expect(await decision({ subject: alice, action, resource: record1 })).toBe(false)
  })
})

describe('Batch Core', () => {
  it('c-3-2-1 Batch request with evaluations array', async () => {
    const batch = { subject: alice, action: read, evaluations: [{ resource: record1 }, { resource: record2 }] }
    expect(await decisions(batch)).toEqual([expect.any(Boolean), expect.any(Boolean)])
  })

  it('c-3-2-2 Batch with fixture decisions validated', async () => {
    const batch = { subject: bob, resource: record1, evaluations: [{ action: read }, { action: write }] }
    expect(await decisions(batch)).toEqual([true, false])
  })

  it('c-3-2-5 Batch with fully specified evaluations (no defaults)', async () => {
    const batch = { evaluations: [permitted, { subject: bob, action: write, resource: record1 }] }
    expect(await decisions(batch)).toEqual([true, false])
  })

  it('c-3-2-6 Batch with context inheritance', async () => {
    const batch = {
      subject: alice,
      action: read,
      context: { time: '2025-06-27T18:03-07:00' },
      evaluations: [
        { resource: record1 },
        { resource: record2, context: { time: '2025-06-27T19:00-07:00', source: 'batch-override' } },
      ],
    }
    expect(await decisions(batch)).toEqual([expect.any(Boolean), expect.any(Boolean)])
  })

  it('c-3-3-1 Response array length matches request', async () => {
    for (const length of [1, 2, 7]) {
      const batch = { ...permitted, evaluations: Array.from({ length }, () => ({})) }
      expect(await decisions(batch)).toHaveLength(length)
    }
  })

  it('c-3-3-2 Response ordering', async () => {
    const forward = { subject: bob, resource: record1, evaluations: [{ action: read }, { action: write }] }
    expect(await decisions(forward)).toEqual([true, false])
    expect(await decisions({ ...forward, evaluations: forward.evaluations.toReversed() })).toEqual([false, true])
  })

  it('c-3-3-3 Each evaluation contains a decision', async () => {
    const response = await evaluations({ ...permitted, evaluations: [{}, { action: write }, { resource: {} }] })
    const { evaluations: items } = await response.json<{ evaluations: object[] }>()
    for (const item of items) expect(item).toHaveProperty('decision', expect.any(Boolean))
  })

  it('c-3-3-4 Top-level decision field', async () => {
    const response = await evaluations({ ...permitted, evaluations: [{}] })
    expect(await response.json()).not.toHaveProperty('decision')
  })

  it('c-3-4-1 Evaluation-level errors (execute_all semantic)', async () => {
    const batch = {
      subject: alice,
      action: read,
      options: { evaluations_semantic: 'execute_all' },
      evaluations: [{ resource: record1 }, {}],
    }
    const items = await answersIn(await evaluations(batch))
    expect(items.map(item => item.decision)).toEqual([true, false])
    expect(items[1]?.context).toMatchObject({ error: { status: 400, pointer: '/evaluations/1/resource' } })
  })

  it('c-3-4-2 Missing evaluations array (backwards-compatible)', async () => {
    expect((await answerIn(await evaluations(permitted))).decision).toBe(true)
  })

  it('c-3-4-3 Empty evaluations array (backwards-compatible)', async () => {
    expect((await answerIn(await evaluations({ ...permitted, evaluations: [] }))).decision).toBe(true)
  })
})

describe('Batch Properties', () => {
  it('c-3-2-3 Batch with properties validated', async () => {
    const active = { ...record1, properties: { status: 'active' } }
    const batch = { subject: alice, action: write, evaluations: [{ resource: active }, { resource: archived }] }
    expect(await decisions(batch)).toEqual([true, false])
  })

  it('c-3-2-4 Batch with subject properties validated', async () => {
    const admin = { ...bob, properties: { role: 'admin' } }
    const batch = { action: write, resource: archived, evaluations: [{ subject: alice }, { subject: admin }] }
    expect(await decisions(batch)).toEqual([false, true])
  })

  it('c-3-2-7 Batch with top-level default inheritance', async () => {
    const active = { ...record1, properties: { status: 'active' } }
    const batch = { subject: alice, action: write, resource: active, evaluations: [{}, { resource: archived }] }
    expect(await decisions(batch)).toEqual([true, false])
  })
})

describe('Transport', () => {
  it('c-5 Successful responses are 200 with application/json, and the request may name a charset', async () => {
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON']) {
      const response = await evaluation(permitted, { 'content-type': type })
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('application/json')
    }
  })
})

describe('Discovery', () => {
  it.each([
    ['of the configured tenant', '', () => env.ORIGIN],
    ['of a tenant, the well-known part between host and path', '/', () => world.identifier],
  ])('c-6 PDP Metadata %s', async (_, slash, base) => {
    const identifier = base()
    const url = `${env.ORIGIN}/.well-known/authzen-configuration${slash}${slash && world.tenant}`
    const response = await world.send('GET', url, undefined)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json')
    const metadata = await response.json<Record<string, unknown>>()
    expect(metadata).toEqual({
      policy_decision_point: identifier,
      access_evaluation_endpoint: `${identifier}/access/v1/evaluation`,
      access_evaluations_endpoint: `${identifier}/access/v1/evaluations`,
      access_request_endpoint: `${identifier}/access/v1/requests`,
      jwks_uri: `${identifier}/.well-known/jwks.json`,
      capabilities: ['urn:openid:authzen:capability:access-request'],
      search_subject_endpoint: `${identifier}/access/v1/search/subject`,
      search_resource_endpoint: `${identifier}/access/v1/search/resource`,
      search_action_endpoint: `${identifier}/access/v1/search/action`,
      supported_obligations: ['custom'],
    })
    const endpoints = Object.values(metadata).filter(value => !Array.isArray(value))
    for (const endpoint of endpoints) expect(new URL(String(endpoint)).protocol).toBe('https:')
  })

  it('c-6-3 The endpoints that the metadata names are those that answer', async () => {
    const url = `${env.ORIGIN}/.well-known/authzen-configuration/${world.tenant}`
    const metadata = await (await world.send('GET', url, undefined)).json<Record<string, string>>()
    const single = await world.post(metadata.access_evaluation_endpoint ?? '', permitted, { token })
    expect((await answerIn(single)).decision).toBe(true)
    const batch = await world.post(metadata.access_evaluations_endpoint ?? '', { evaluations: [permitted] }, { token })
    expect((await answersIn(batch)).map(item => item.decision)).toEqual([true])
  })
})

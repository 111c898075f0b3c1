import { beforeAll, describe, expect, it } from 'vitest'
import { createWorld, problemIn, type World } from './world.ts'

/**
 * The certification scenario of AuthZEN Authorization API 1.0, as of commit
 * e287920eed842b227e38531c1735b712337ca44d of openid/authzen: levels Search Core and Search Properties. Each test has
 * the id and the title of the scenario's section; certification.test.ts has the other levels and says what stands where.
 */

let world: World
let token: string
beforeAll(async () => {
  world = await createWorld({ folder: 'certification' })
  token = await world.pepToken()
})

type Kind = 'subject' | 'resource' | 'action'
const post = (kind: Kind, body: unknown) => world.post(`/access/v1/search/${kind}`, body, { token })
const found = async (kind: Kind, body: unknown): Promise<{ page?: Record<string, unknown>; results: unknown[] }> => {
  const response = await post(kind, body)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('application/json')
  return response.json()
}
const results = async (kind: Kind, body: unknown) => (await found(kind, body)).results

const alice = { type: 'user', id: 'alice' }
const bob = { type: 'user', id: 'bob' }
const admin = { ...bob, properties: { role: 'admin' } }
const read = { name: 'read' }
const write = { name: 'write' }
const record1 = { type: 'record', id: 'record-1' }
const record2 = { type: 'record', id: 'record-2' }
const archived = { ...record2, properties: { status: 'archived' } }
const context = { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' }

const bySubject = { subject: { type: 'user' }, action: read, resource: record1 }
const byResource = { subject: alice, action: read, resource: { type: 'record' } }
const byAction = { subject: alice, resource: record1 }

describe('Search Core', () => {
  it('c-4-2-1 Valid subject search request with non-empty results', async () => {
    expect(await results('subject', bySubject)).toEqual([alice, bob])
  })

  it('c-4-2-2 Subject search with context', async () => {
    expect(await results('subject', { ...bySubject, context })).toEqual([alice, bob])
  })

  it('c-4-2-3 Subject search with subject id present', async () => {
    expect(await results('subject', { ...bySubject, subject: alice })).toEqual([alice, bob])
  })

  it('c-4-3-1 Valid resource search request with non-empty results', async () => {
    expect(await results('resource', byResource)).toEqual([record1, record2])
  })

  it('c-4-3-2 Resource search with context', async () => {
    expect(await results('resource', { ...byResource, context })).toEqual([record1, record2])
  })

  it('c-4-3-3 Resource search with resource id present', async () => {
    expect(await results('resource', { ...byResource, resource: record1 })).toEqual([record1, record2])
  })

  it('c-4-4-1 Valid action search request with non-empty results', async () => {
    expect(await results('action', byAction)).toEqual([read, write])
  })

  it('c-4-4-2 Action search with context', async () => {
    expect(await results('action', { ...byAction, context })).toEqual([read, write])
  })

  it('c-4-5-1 Request with page limit', async () => {
    const { page, results } = await found('subject', { ...bySubject, page: { limit: 1 } })
    expect(results).toEqual([alice])
    expect(page).toEqual({ next_token: expect.stringMatching(/./), count: 1 })
  })

  it('c-4-5-2 Request with page token', async () => {
    const first = await found('subject', { ...bySubject, page: { limit: 1 } })
    const second = await found('subject', { ...bySubject, page: { token: first.page?.next_token } })
    expect(second.results).toEqual([bob])
    expect(second.page).toEqual({ next_token: expect.any(String), count: 1 })
  })

  it('c-4-5-3 Pagination response format', async () => {
    const { page } = await found('subject', { ...bySubject, page: {} })
    expect(page).toEqual({ next_token: '', count: 2 })
  })

  it.each<[Kind, unknown]>([
    ['subject', { ...bySubject, resource: { type: 'record', id: 'nothing' }, action: { name: 'write' } }],
    ['resource', { ...byResource, subject: { type: 'user', id: 'nonexistent-user' } }],
    ['action', { ...byAction, subject: { type: 'user', id: 'nonexistent-user' } }],
  ])('c-4-6-1 Unknown entity identifier: %s', async (kind, body) => {
    expect(await results(kind, body)).toEqual([])
  })

  it.each<[Kind, string, unknown]>([
    ['subject', 'subject', { ...bySubject, subject: { type: 'spaceship' } }],
    ['subject', 'resource', { ...bySubject, resource: { type: 'spaceship', id: 'x' } }],
    ['resource', 'resource', { ...byResource, resource: { type: 'spaceship' } }],
    ['resource', 'subject', { ...byResource, subject: { type: 'spaceship', id: 'x' } }],
    ['action', 'subject', { ...byAction, subject: { type: 'spaceship', id: 'x' } }],
    ['action', 'resource', { ...byAction, resource: { type: 'spaceship', id: 'x' } }],
  ])('c-4-6-2 Unknown entity type: %s search, %s', async (kind, _, body) => {
    expect(await results(kind, body)).toEqual([])
  })

  it.each<[Kind, string, unknown]>([
    ['subject', '/action', { subject: { type: 'user' }, resource: record1 }],
    ['resource', '/subject', { action: read, resource: { type: 'record' } }],
    ['action', '/resource', { subject: alice }],
  ])('c-4-7-1 Missing required fields: %s', async (kind, pointer, body) => {
    const response = await post(kind, body)
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
  })

  it.each<[Kind, string, unknown]>([
    ['subject', '/resource/id', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
    ['resource', '/subject/id', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
    ['action', '/subject/id', { subject: { type: 'user' }, resource: record1 }],
    ['subject', '/subject/type', { subject: {}, action: read, resource: record1 }],
    ['resource', '/resource/type', { subject: alice, action: read, resource: {} }],
  ])('c-4-7-2 Missing required sub-fields: %s %s', async (kind, pointer, body) => {
    const response = await post(kind, body)
    expect(response.status).toBe(400)
    expect(await problemIn(response)).toMatchObject({ reason: 'malformed_request', pointer })
  })
})

describe('Search Properties', () => {
  it('c-4-2-4 Subject search with resource properties -- fixture validated', async () => {
    expect(await results('subject', { ...bySubject, action: write, resource: archived })).toEqual([bob])
  })

  it('c-4-3-4 Resource search with subject properties -- fixture validated', async () => {
    expect(await results('resource', { ...byResource, subject: admin, action: write })).toEqual([record2])
  })

  it('c-4-4-3 Action search with properties -- fixture validated', async () => {
    expect(await results('action', { subject: admin, resource: archived })).toEqual([read, write])
  })
})

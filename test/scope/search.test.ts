import { beforeEach, describe, expect, it } from 'vitest'
import type { Found } from '../../src/agent/calls/questions.ts'
import { contentHash } from '../../src/durable/hash.ts'
import { nameOf } from '../../src/durable/names.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { asking, createWorld, problemIn, type Send, type Sending, type World } from '../http/world.ts'

let world: World
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld({ change: orders(25) })
  token = await world.agentToken()
})

/** So many open orders, before the one that the fixture has. */
const orders =
  (count: number) =>
  (bundle: Bundle): void => {
    const made = Array.from({ length: count }, (_, n) => ({
      uid: { type: 'Order', id: `o${n}` },
      attrs: { status: 'open' },
      parents: [],
    }))
    bundle.entities = [...made, ...bundle.entities]
  }

type Answer = {
  page?: { next_token: string; count: number }
  context: { search_id?: string; recorded: boolean; reason?: string; bundle: string }
  results: Found[]
}

const search = async (of: string, query: unknown, sending: Sending = { token }): Promise<Answer> => {
  const response = await world.post(`/access/v1/search/${of}`, query, sending)
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return response.json()
}
const clerk = { type: 'Agent', id: 'clerk' }
const query = (more: Record<string, unknown> = {}) => ({
  subject: clerk,
  action: { name: 'read' },
  resource: { type: 'Order' },
  ...more,
})
const ids = ({ results }: Answer) => results.map(result => ('id' in result ? result.id : result.name))

/** Every page, one after the other; `between` is done after each. */
const pages = async (
  of: string,
  asked: object,
  limit: number,
  { between = async (_: number) => {}, send }: { between?: (done: number) => Promise<void>; send?: Send } = {},
) => {
  const all: Answer[] = []
  let page: { limit: number; token?: string } = { limit }
  for (;;) {
    const answer = await search(of, { ...asked, page }, { token, ...(send && { send }) })
    all.push(answer)
    await between(all.length)
    const next = answer.page?.next_token ?? ''
    if (next === '') return all
    page = { limit, token: next }
  }
}

describe('what is found is what one by one would be permitted', () => {
  it.each(['read', 'export', 'sweep', 'fly', 'refund'])('%s, for a user as well', async name => {
    for (const more of [{}, { user: { type: 'User', id: 'lea' } }]) {
      const own = await world.agentToken('clerk', more)
      const candidates = [...Array.from({ length: 25 }, (_, n) => `o${n}`), 'closed']
      const permitted: string[] = []
      for (const id of candidates) {
        const { decision } = await world.evaluate(asking(name, { resource: { type: 'Order', id } }), { token: own })
        if (decision) permitted.push(id)
      }
      expect(ids(await search('resource', query({ action: { name } }), { token: own }))).toEqual(permitted)
    }
  })

  it('a limit that is used up is used up here too, for each resource that it counts', async () => {
    const burst = (id: string) => world.evaluate(asking('burst', { resource: { type: 'Order', id } }), { token })
    for (const _ of 'ab') await burst('o3')
    const found = ids(await search('resource', query({ action: { name: 'burst' } })))
    expect(found).not.toContain('o3')
    expect(found).toContain('o4')
    for (let n = 0; n < 3; n++) await world.evaluate(asking('ping'), { token })
    expect(ids(await search('resource', query({ action: { name: 'ping' } })))).toEqual([])
  })

  it('takes nothing from limits', async () => {
    for (let n = 0; n < 5; n++) await search('resource', query({ action: { name: 'ping' } }))
    expect((await world.evaluate(asking('ping'), { token })).decision).toBe(true)
  })

  it('actions: those whose arguments the query need not give', async () => {
    const found = await search('action', { subject: clerk, resource: { type: 'Order', id: 'o1' } })
    expect(ids(found).toSorted()).toEqual(['burst', 'export', 'ping', 'read', 'sweep'])
    expect(ids(await search('action', { subject: clerk, resource: { type: 'Order', id: 'closed' } }))).not.toContain(
      'read',
    )
  })

  it('a gateway’s word about properties counts, an agent’s does not', async () => {
    const outsider = { type: 'Agent', id: 'outsider', properties: { tier: 'gold' } }
    const asked = query({ subject: outsider, action: { name: 'export' } })
    const own = ids(await search('resource', asked, { token: await world.agentToken('outsider') }))
    const told = ids(await search('resource', asked, { token: await world.pepToken() }))
    expect(own).not.toContain('closed')
    expect(told).toEqual([...own, 'closed'])
  })
})

describe('who may search', () => {
  it('an agent for itself and the user it acts for; a gateway for anyone', async () => {
    const response = await world.post(
      '/access/v1/search/resource',
      query({ subject: { type: 'Agent', id: 'helper' } }),
      { token },
    )
    expect(response.status).toBe(403)
    expect(await problemIn(response)).toMatchObject({ reason: 'subject_mismatch', pointer: '/subject' })
    const pep = await world.pepToken()
    expect(
      (await search('resource', query({ subject: { type: 'Agent', id: 'helper' } }), { token: pep })).results,
    ).toHaveLength(25)
  })

  it('among subjects an agent finds itself, and no one of another type', async () => {
    const asked = { subject: { type: 'Agent' }, action: { name: 'read' }, resource: { type: 'Order', id: 'o1' } }
    expect((await search('subject', asked)).results).toEqual([clerk])
    const response = await world.post('/access/v1/search/subject', { ...asked, subject: { type: 'User' } }, { token })
    expect(await problemIn(response)).toMatchObject({ reason: 'subject_mismatch' })
    expect(ids(await search('subject', asked, { token: await world.pepToken() }))).toEqual(['clerk', 'helper'])
  })

  it('a token without the role, or without a token, nobody', async () => {
    const admin = await world.token({ roles: ['admin'] })
    expect((await world.post('/access/v1/search/resource', query(), { token: admin })).status).toBe(403)
    expect((await world.post('/access/v1/search/resource', query(), {})).status).toBe(401)
  })

  it('an agent that the bundle does not know finds nothing, on a chain of strangers', async () => {
    const ghost = await world.agentToken('ghost')
    const { results, context } = await search('resource', query({ subject: { type: 'Agent', id: 'ghost' } }), {
      token: ghost,
    })
    expect(results).toEqual([])
    expect(context).toMatchObject({ reason: 'unknown_agent', recorded: true })
    expect((await world.unattributed()).map(({ kind }) => kind)).toEqual(['search'])
  })
})

describe('a search goes through the agent’s object, in one call', () => {
  it('and once warm reads neither KV nor D1', async () => {
    const isolate = createIsolate()
    await search('resource', query(), { token, send: isolate.send })
    isolate.uses()
    for (const of of ['resource', 'action', 'subject']) {
      const asked = { ...query(), resource: { type: 'Order', id: 'o1' } }
      await search(of, asked, { token, send: isolate.send })
      expect(isolate.uses()).toEqual(['object search'])
    }
  })

  it('leaves a receipt with the hash of what was answered', async () => {
    const { results, context } = await search('resource', query({ page: { limit: 2 } }))
    expect(results).toHaveLength(2)
    const [receipt] = await world.receipts()
    expect(receipt?.kind).toBe('search')
    const body = JSON.parse(receipt?.body ?? '')
    expect(body).toMatchObject({ action: 'read', resource_type: 'Order', search: { id: context.search_id } })
    expect(body.search.result_hash).toBe(contentHash(results))
  })

  it('a suspended agent lists nothing', async () => {
    const admin = await world.token({ sub: 'root', roles: ['admin'] })
    await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'odd' }, { token: admin })
    const { results, context, page } = await search('resource', query({ page: { limit: 2 } }))
    expect(results).toEqual([])
    expect(page).toEqual({ next_token: '', count: 0 })
    expect(context).toMatchObject({ reason: 'suspended', recorded: true })
    expect((await world.receipts()).at(-1)?.kind).toBe('search')
  })

  it('costs an attempt, and beyond those is refused', async () => {
    const few = await createWorld({ settings: { limits: { attempts: '2/h' } } })
    const own = await few.agentToken()
    const ask = () => few.post('/access/v1/search/resource', query(), { token: own })
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200])
    const refused = await ask()
    expect(refused.status).toBe(429)
    expect(await problemIn(refused)).toMatchObject({ reason: 'too_many_attempts' })
  })

  it('under a newer bundle that the object knows of, it is that one that is searched', async () => {
    const isolate = createIsolate()
    await search('resource', query(), { token, send: isolate.send })
    await world.push(orders(3))
    await world.evaluate(asking('read'), { token, send: createIsolate().send })
    const { results } = await search('resource', query(), { token, send: isolate.send })
    // The three are made once more, before those that there were.
    expect(results).toHaveLength(25)
    expect(isolate.uses().filter(use => use === 'object search')).toHaveLength(3)
  })

  it('where the object cannot be reached nothing is found', async () => {
    const isolate = createIsolate({}, { AGENT: undefined as unknown as Env['AGENT'] })
    const { results, context } = await search('resource', query(), { token, send: isolate.send })
    expect(results).toEqual([])
    expect(context).toMatchObject({ reason: 'control_unreachable', recorded: false })
  })
})

describe('pages', () => {
  it('10,000 resources come once each, while a new bundle lands in between', async () => {
    world = await createWorld({ change: orders(10_000) })
    token = await world.agentToken()
    const { send } = createIsolate()
    const between = async (done: number) => {
      if (done !== 3) return
      await world.push(bundle => {
        bundle.entities = bundle.entities.filter(({ uid }) => !('id' in uid) || uid.id !== 'o9001')
        orders(50)(bundle)
      })
      // The isolate and the agent's object have both seen the new one.
      clock.advance(10_000)
      for (const _ of 'ab') await world.evaluate(asking('read'), { token, send })
    }
    const answers = await pages('resource', query(), 500, { between, send })
    const all = answers.flatMap(ids)
    expect(all).toEqual(Array.from({ length: 10_000 }, (_, n) => `o${n}`))
    expect(new Set(answers.map(({ context }) => context.bundle))).toEqual(new Set([world.first.hash]))
    // A search of its own sees the new one.
    const anew = await search('resource', query({ page: { limit: 1 } }), { token, send })
    expect(anew.context.bundle).not.toBe(world.first.hash)
  })

  it('of every size hold everything once, in one order', async () => {
    const whole = ids(await search('resource', query()))
    for (const limit of [1, 7, 24, 25, 26, 1_000_000]) {
      const answers = await pages('resource', query(), limit)
      expect(answers.flatMap(ids)).toEqual(whole)
      for (const { page, results } of answers) expect(page?.count).toBe(results.length)
    }
  })

  it('of no size hold nothing, and a way on', async () => {
    const { page, results } = await search('resource', query({ page: { limit: 0 } }))
    expect(results).toEqual([])
    expect(page?.next_token).not.toBe('')
  })

  it('a suspension in between ends the list', async () => {
    const first = await search('resource', query({ page: { limit: 5 } }))
    const admin = await world.token({ sub: 'root', roles: ['admin'] })
    await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'odd' }, { token: admin })
    const next = await search('resource', query({ page: { limit: 5, token: first.page?.next_token } }))
    expect(next).toMatchObject({ results: [], page: { next_token: '' }, context: { reason: 'suspended' } })
  })

  const tokenOf = async (limit = 5) => (await search('resource', query({ page: { limit } }))).page?.next_token ?? ''
  const refusedWith = async (asked: unknown, sending: Sending = { token }) => {
    const response = await world.post('/access/v1/search/resource', asked, sending)
    return problemIn(response)
  }

  it('a token belongs to its query, caller and tenant, and cannot be made', async () => {
    const page = { limit: 5, token: await tokenOf() }
    const mismatch = { status: 400, reason: 'page_mismatch' }
    expect(await refusedWith(query({ action: { name: 'export' }, page }))).toMatchObject(mismatch)
    expect(await refusedWith(query({ context: { channel: 'x' }, page }))).toMatchObject(mismatch)
    expect(await refusedWith(query({ page: { ...page, limit: 6 } }))).toMatchObject({
      ...mismatch,
      pointer: '/page/limit',
    })
    const invalid = { status: 400, reason: 'invalid_page_token', pointer: '/page/token' }
    const [text = '', mac = ''] = page.token.split('.')
    const claims = JSON.parse(atob(text.replaceAll('-', '+').replaceAll('_', '/')))
    const forged = btoa(JSON.stringify({ ...claims, at: 0 })).replaceAll('=', '')
    for (const bad of ['', 'x', '.', text, `${text}.`, `${forged}.${mac}`, `${text}.${'A'.repeat(mac.length)}`, 'ü.ü'])
      expect(await refusedWith(query({ page: { limit: 5, token: bad } }))).toMatchObject(invalid)
    const helper = { type: 'Agent', id: 'helper' }
    expect(
      await refusedWith(query({ subject: helper, page }), {
        token: await world.agentToken('helper', { sub: 'other' }),
      }),
    ).toMatchObject(invalid)
    clock.advance(10 * 60_000)
    const late = { token: await world.agentToken() }
    expect(await refusedWith(query({ page }), late)).toMatchObject({ ...invalid, detail: 'it has lapsed' })
  })

  it('where the bundle that the pages come from is gone, that is said', async () => {
    const page = { limit: 5, token: await tokenOf() }
    await world.push(orders(1))
    const isolate = createIsolate()
    const gone = nameOf('bundle', world.tenant, world.first.hash)
    isolate.see((key, read) => (key === gone ? Promise.resolve(null) : read()))
    expect(await refusedWith(query({ page }), { token, send: isolate.send })).toMatchObject({
      status: 409,
      reason: 'page_bundle_gone',
    })
  })

  it.each([
    ['/page/limit', { limit: -1 }],
    ['/page/limit', { limit: 1.5 }],
    ['/page/limit', { limit: '5' }],
    ['/page/token', { token: 5 }],
    ['/page', []],
  ])('a page that is malformed at %s is refused', async (pointer, page) => {
    expect(await refusedWith(query({ page }))).toMatchObject({ status: 400, reason: 'malformed_request', pointer })
  })
})

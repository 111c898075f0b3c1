import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { createRevocations } from '../../src/delegation/revocations.ts'
import { insertRevocation } from '../../src/delegation/store.ts'
import { entityKey, lineageOf } from '../../src/identity/lineage.ts'
import { clock } from '../clock.ts'
import { answerIn, createWorld, refund, sign, type World } from '../http/world.ts'
import { delegate, outcome, refusalOf, sending } from './delegating.ts'
import { CAEP, push, subject, transmitting } from './transmitting.ts'

afterEach(() => clock.reset())

const AGENTS = { subject: { type: 'Agent', id: 'helper' } }
const asHelper = (what: object) => ({ ...what, ...AGENTS })
const LEA = { type: 'User', id: 'lea' }

const admin = async (world: World) => ({ token: await world.token({ roles: ['admin'] }) })
const change = async (world: World, path: string): Promise<{ confirmed_at: string; descendants: number }> => {
  const response = await world.post(path, { reason: 'test' }, await admin(world))
  if (response.status !== 200) throw new Error(await response.text())
  return response.json()
}

describe('suspending', () => {
  it('an agent refuses all that it handed on, at once and however deep, and resuming gives it back', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken('outsider'), { agent: 'clerk' })
    const grandchild = await delegate(world, child, { agent: 'helper' })
    expect(await outcome(world, grandchild, asHelper(refund(1)))).toBe('permitted')

    expect(await change(world, '/v1/agents/Agent/outsider/suspend')).toMatchObject({ descendants: 2 })
    expect(await outcome(world, child, refund(1))).toBe('revoked')
    expect(await outcome(world, grandchild, asHelper(refund(1)))).toBe('revoked')
    expect(await refusalOf(delegate(world, grandchild, { agent: 'clerk' }))).toBe('revoked')
    // The same agents, by authority of their own.
    expect((await world.evaluate(refund(1), { token: await world.agentToken() })).decision).toBe(true)

    await change(world, '/v1/agents/Agent/outsider/resume')
    clock.advance(16_000)
    await outcome(world, child, refund(1))
    expect(await outcome(world, child, refund(1))).toBe('permitted')
  })

  it('a user refuses every agent that acts for it by a delegation, and no other', async () => {
    const world = await createWorld()
    const actor = await world.agentToken()
    const lea = await delegate(world, await world.token({ user: LEA }), { actor })
    const alone = await delegate(world, actor, { agent: 'helper' })
    expect(await outcome(world, lea, refund(1))).toBe('permitted')
    await change(world, '/v1/agents/User/lea/suspend')
    expect(await outcome(world, lea, refund(1))).toBe('revoked')
    expect(await outcome(world, alone, asHelper(refund(1)))).toBe('permitted')
    expect(await refusalOf(delegate(world, await world.token({ user: LEA }), { actor }))).toBe('revoked')
  })

  it('a user is known to every Worker within 15 seconds, also for tokens of other issuers', async () => {
    const world = await createWorld()
    const acting = await world.agentToken('clerk', { user: LEA })
    expect((await world.evaluate(refund(1), { token: acting })).decision).toBe(true)
    await change(world, '/v1/agents/User/lea/suspend')
    clock.advance(15_001)
    // What is at hand serves once more, while the list is read anew.
    await world.evaluate(refund(1), { token: acting })
    const answer = await world.evaluate(refund(1), { token: acting })
    expect(answer.context).toMatchObject({ reason: 'revoked', recorded: true })
  })

  it('a parent while 50 children decide: none is allowed later than the suspension was confirmed', async () => {
    const world = await createWorld({
      change: bundle => {
        for (let i = 0; i < 50; i++)
          bundle.entities = [
            ...bundle.entities,
            { uid: { type: 'Agent', id: `child-${i}` }, attrs: {}, parents: [{ type: 'Team', id: 'desk' }] },
          ]
      },
    })
    const parent = await world.agentToken()
    const children = await Promise.all(
      Array.from({ length: 50 }, (_, i) => delegate(world, parent, { agent: `child-${i}` })),
    )
    const path = '/access/v1/evaluation'
    const allowed: number[] = []
    const refusals: string[] = []
    let stop = false
    const underWay = Promise.withResolvers<void>()
    const busy = Promise.all(
      children.map(async (child, i) => {
        const what = { ...refund(1), subject: { type: 'Agent', id: `child-${i}` } }
        for (let denied = 0; denied < 2 && !stop; ) {
          const { decision, context } = await answerIn(await world.post(path, what, await sending(world, child, path)))
          if (decision && allowed.push(Date.parse(context.evaluated_at)) === 50) underWay.resolve()
          if (decision) continue
          denied++
          refusals.push(context.reason)
        }
      }),
    )
    try {
      await Promise.race([busy, underWay.promise])
      const { confirmed_at, descendants } = await change(world, '/v1/agents/Agent/clerk/suspend')
      await busy
      expect(descendants).toBe(50)
      expect(Math.max(...allowed)).toBeLessThanOrEqual(Date.parse(confirmed_at))
      expect(refusals).toEqual(Array(100).fill('revoked'))
    } finally {
      stop = true
    }
  }, 60_000)

  it('catches what is handed on while it happens', async () => {
    const world = await createWorld()
    const parent = await world.agentToken()
    const handing = Array.from({ length: 20 }, async () => {
      try {
        return await delegate(world, parent, { agent: 'helper' })
      } catch {
        return undefined
      }
    })
    await change(world, '/v1/agents/Agent/clerk/suspend')
    const delegated = (await Promise.all(handing)).filter(child => child !== undefined)
    for (const child of delegated) expect(await outcome(world, child, asHelper(refund(1)))).toBe('revoked')
  })
})

describe('a delegation', () => {
  it('is taken away with all below it, and what is above and beside it stays', async () => {
    const world = await createWorld()
    const top = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const below = await delegate(world, top, { agent: 'clerk' })
    const deeper = await delegate(world, below, { agent: 'helper' })
    const beside = await delegate(world, top, { agent: 'clerk' })
    await change(world, `/v1/delegations/${below.id}/revoke`)
    expect(await outcome(world, below, refund(1))).toBe('revoked')
    expect(await outcome(world, deeper, asHelper(refund(1)))).toBe('revoked')
    expect(await outcome(world, beside, refund(1))).toBe('permitted')
    expect(await outcome(world, top, asHelper(refund(1)))).toBe('permitted')
    const unknown = await world.post('/v1/delegations/nothing/revoke', { reason: 'x' }, await admin(world))
    expect(unknown.status).toBe(404)
  })

  it('is shown to admins in the tree of those that live, of this tenant alone', async () => {
    const world = await createWorld()
    const top = await delegate(world, await world.agentToken(), { agent: 'helper', more: { expires_in: '600' } })
    const below = await delegate(world, top, { agent: 'clerk', more: { expires_in: '60' } })
    const read = async (of: World): Promise<unknown> =>
      (await of.send('GET', '/v1/delegations', undefined, await admin(of))).json()
    expect(await read(world)).toMatchObject({
      delegations: [
        { id: top.id, agent: 'Agent::"helper"', delegations: [{ id: below.id, parent: top.id, delegations: [] }] },
      ],
    })
    expect(await read(await createWorld())).toEqual({ delegations: [] })
    clock.advance(61_000)
    expect(await read(world)).toMatchObject({ delegations: [{ id: top.id, delegations: [] }] })
    const agent = await world.send('GET', '/v1/delegations', undefined, { token: await world.agentToken() })
    expect(agent.status).toBe(403)
  })
})

describe('a security event (RFC 8417, 8935; CAEP)', () => {
  it.each(['session-revoked', 'credential-change'])(
    '%s refuses what was issued before, and lets in what comes after',
    async event => {
      const world = await transmitting()
      const actor = await world.agentToken()
      const before = await delegate(world, await world.token({ user: LEA }), { actor })
      const events = { [`${CAEP}/${event}`]: { event_timestamp: Math.floor(clock.now() / 1000) } }
      expect((await push(world, { events })).status).toBe(202)
      expect(await outcome(world, before, refund(1))).toBe('revoked')
      expect(await refusalOf(delegate(world, before, { agent: 'helper' }))).toBe('revoked')
      clock.advance(2_000)
      const after = await delegate(world, await world.token({ user: LEA }), { actor: await world.agentToken() })
      expect(await outcome(world, after, refund(1))).toBe('permitted')
      // The second time it changes nothing.
      expect((await push(world, { events })).status).toBe(202)
      expect(await outcome(world, after, refund(1))).toBe('permitted')
    },
  )

  it('about an agent reaches its own object', async () => {
    const world = await transmitting()
    const token = await world.agentToken()
    expect((await world.evaluate(refund(1), { token })).decision).toBe(true)
    expect((await push(world, { sub_id: subject('clerk') })).status).toBe(202)
    expect((await world.evaluate(refund(1), { token })).context.reason).toBe('revoked')
  })

  it('is taken in the forms that transmitters use', async () => {
    const world = await transmitting()
    const complex = { format: 'complex', user: subject('lea'), device: { format: 'opaque', id: 'd' } }
    expect((await push(world, { sub_id: complex })).status).toBe(202)
    const inside = { [`${CAEP}/session-revoked`]: { subject: subject('lea') } }
    expect((await push(world, { sub_id: undefined, events: inside })).status).toBe(202)
    const verification = { 'https://schemas.openid.net/secevent/ssf/event-type/verification': { state: 'x' } }
    expect((await push(world, { sub_id: undefined, events: verification })).status).toBe(202)
  })

  it.each([
    ['no transmitter', { iss: 'https://nobody.example' }, {}, 'invalid_issuer'],
    ['an issuer that is none', { iss: 'https://idp.example' }, {}, 'access_denied'],
    ['another audience', { aud: 'https://elsewhere.example' }, {}, 'invalid_audience'],
    ['an access token', {}, { typ: 'at+jwt' }, 'invalid_request'],
    ['no type', {}, { typ: undefined }, 'invalid_request'],
    ['an unknown key', {}, { kid: 'other' }, 'invalid_key'],
    ['no jti', { jti: undefined }, {}, 'invalid_request'],
    ['a time to come', { iat: Math.floor(Date.now() / 1000) + 600 }, {}, 'invalid_request'],
    [
      'a subject of an issuer that it may not speak of',
      { sub_id: { format: 'iss_sub', iss: 'urn:countersign:development', sub: 'x' } },
      {},
      'invalid_request',
    ],
    ['a subject that is no one’s', { sub_id: { format: 'email', email: 'lea@example' } }, {}, 'invalid_request'],
    ['no subject', { sub_id: undefined }, {}, 'invalid_request'],
  ])('from %s is refused, in the words of RFC 8935', async (_, changes, header, err) => {
    const world = await transmitting()
    const response = await push(world, changes, header)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ err })
  })
})

describe('the list of what was taken away', () => {
  const lineage = lineageOf({ actor: { type: 'Agent', id: 'a' }, chain: [], user: LEA }, [], 1_000)
  const ioOf = (tenant: string, now: number, db = env.DB) => {
    const later: Promise<unknown>[] = []
    return { io: { tenant, db, now, waitUntil: (work: Promise<unknown>) => void later.push(work) }, later }
  }
  const dead: D1Database = new Proxy(env.DB, {
    get: () => () => {
      throw new Error('D1 is down')
    },
  })

  it('serves without D1 for two minutes, and then says that it does not know', async () => {
    const tenant = crypto.randomUUID()
    const list = createRevocations()
    expect(await list.taken(lineage, ioOf(tenant, 0, dead).io)).toBe('unknown')
    expect(await list.taken(lineage, ioOf(tenant, 0).io)).toBe('no')
    expect(await list.taken(lineage, ioOf(tenant, 119_999, dead).io)).toBe('no')
    expect(await list.taken(lineage, ioOf(tenant, 120_000, dead).io)).toBe('unknown')
  })

  it('tells what was issued before from what came after', async () => {
    const tenant = crypto.randomUUID()
    await insertRevocation(env.DB, {
      tenant,
      key: entityKey(LEA),
      before: 5_000,
      eventBefore: null,
      at: 0,
      by: 'x',
      reason: 'y',
    })
    const list = createRevocations()
    expect(await list.taken(lineage, ioOf(tenant, 0).io)).toBe('yes')
    expect(await list.taken({ ...lineage, since: 5_001 }, ioOf(tenant, 0).io)).toBe('no')
    await insertRevocation(env.DB, {
      tenant,
      key: entityKey(LEA),
      before: 3_000,
      eventBefore: null,
      at: 0,
      by: 'x',
      reason: 'y',
    })
    expect(await createRevocations().taken({ ...lineage, since: 4_000 }, ioOf(tenant, 0).io)).toBe('yes')
    await insertRevocation(env.DB, {
      tenant,
      key: entityKey(LEA),
      before: null,
      eventBefore: null,
      at: 0,
      by: 'x',
      reason: 'y',
    })
    expect(await createRevocations().taken({ ...lineage, since: 9_999 }, ioOf(tenant, 0).io)).toBe('yes')
  })
})

it('a token of our own that was never minted here is refused', async () => {
  const world = await createWorld()
  const now = Math.floor(clock.now() / 1000)
  const forged = await sign({ iss: world.identifier, sub: 'x', aud: world.identifier, iat: now, exp: now + 60 })
  expect((await world.send('GET', '/v1/whoami', undefined, { token: forged })).status).toBe(401)
  const permit = await world.evaluate(refund(1), { token: await world.agentToken() })
  expect((await world.send('GET', '/v1/whoami', undefined, { token: permit.context.permit })).status).toBe(401)
})

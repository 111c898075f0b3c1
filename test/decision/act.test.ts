import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { decodeJwt } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import { createLogWorld } from '../audit/log/build.ts'
import { clock } from '../clock.ts'
import { createDesk, refund as larger, reasonIn, submission, withApproval } from '../escalation/world.ts'
import { asking, brief, createWorld, problemIn, refund, type World } from '../http/world.ts'

/** A PEP says for whom an agent acts: `act` among the properties of the subject, who is the user. */

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => clock.reset())

type Named = Record<string, unknown>
const agent = (id = 'clerk', more: Named = {}) => ({ type: 'Agent', id, ...more })
const user = (id: string, act: unknown = agent(), properties: Named = {}) => ({
  type: 'User',
  id,
  properties: { ...properties, act },
})
const forUser = (id: string, act?: unknown) => ({ subject: user(id, act) })
const briefly = async (ask: unknown, at = world) => brief(await at.evaluate(ask, { token: await at.pepToken() }))
const adminOf = async (at: Pick<World, 'token'>) => ({ token: await at.token({ sub: 'root', roles: ['admin'] }) })
const bodyOf = (receipt: { body: string } | undefined) => JSON.parse(receipt?.body ?? '{}')
const secretsOf = (receipt: { secrets: string } | undefined) => JSON.parse(receipt?.secrets ?? '{}')

describe('all whom the PEP names must be permitted', () => {
  it.each([
    ['both may', forUser('lea'), 'allow: permitted'],
    ['the user may not', forUser('ned'), 'no: not_permitted'],
    ['an agent that delegated may', forUser('lea', agent('clerk', { act: agent('helper') })), 'allow: permitted'],
  ])('%s', async (_, more, expected) => {
    expect(await briefly({ ...refund(5), ...more })).toBe(expected)
  })

  it.each([
    ['the agent may not', forUser('lea', agent('outsider'))],
    ['an agent that delegated may not', forUser('lea', agent('clerk', { act: agent('outsider') }))],
    ['nor one further up', forUser('lea', agent('clerk', { act: agent('helper', { act: agent('outsider') }) }))],
  ])('%s', async (_, more) => {
    expect(await briefly(asking('read', more))).toBe('no: not_permitted')
    expect(await briefly(asking('read', forUser('lea')))).toBe('allow: permitted')
  })

  it("is what the agent's own token would have made of it: one permit, one chain, one receipt", async () => {
    const chain = [{ type: 'Agent', id: 'helper' }]
    const token = await world.agentToken('clerk', { user: { type: 'User', id: 'lea' }, chain })
    const own = await world.evaluate(refund(5), { token })
    const pep = { token: await world.pepToken() }
    const subject = user('lea', agent('clerk', { act: agent('helper') }))
    const stated = await world.evaluate({ ...refund(5), subject }, pep)
    const [one, other] = [own, stated].map(({ context }) => decodeJwt(context.permit ?? ''))
    for (const claim of ['sub', 'agent', 'chain', 'user', 'action_hash', 'arguments_hash'])
      expect(other?.[claim], claim).toEqual(one?.[claim])
    const receipts = await world.receipts()
    expect(receipts).toHaveLength(2)
    expect(await world.receipts('lea', 'User')).toEqual([])
    expect(bodyOf(receipts[1])).toMatchObject({ agent: agent(), delegated_by: chain, roles: ['pep'] })
    expect(secretsOf(receipts[1])).toMatchObject({
      user: { value: { type: 'User', id: 'lea' } },
      caller: { value: 'development:gateway' },
    })
  })

  it("where the tenant switched the user's leg off, the user is on record alone", async () => {
    const other = await createWorld({ settings: { judge_user: false } })
    expect(await briefly({ ...refund(5), ...forUser('ned') }, other)).toBe('allow: permitted')
    expect(secretsOf((await other.receipts())[0]).user.value).toEqual({ type: 'User', id: 'ned' })
  })

  it("the agent's properties stand in `act`, and the user's beside it", async () => {
    const other = await createWorld({ settings: { judge_user: false } })
    const gold = { tier: 'gold' }
    const exporting = (subject: unknown) => briefly(asking('export', { subject }), other)
    expect(await exporting(user('lea', agent('clerk', { properties: gold })))).toBe('allow: permitted')
    expect(await exporting(user('lea', agent(), gold))).toBe('no: not_permitted')
    expect(await exporting(user('lea', agent('clerk', { properties: { tier: 5 } })))).toBe('no: schema_mismatch')
    expect(await exporting(user('lea', agent(), { vip: 'yes' }))).toBe('no: schema_mismatch')
    expect(await exporting(user('lea', agent(), { vip: true }))).toBe('no: not_permitted')
    const problems = (await other.receipts()).flatMap(receipt => bodyOf(receipt).decision.problems ?? [])
    expect(problems.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/subject/properties/act/properties/tier',
      '/subject/properties/vip',
    ])
  })
})

describe('who can not be the one', () => {
  it.each<[string, unknown, string]>([
    ['a name', 'clerk', '/subject/properties/act'],
    ['nothing', null, '/subject/properties/act'],
    ['a list', [agent()], '/subject/properties/act'],
    ['no type', { id: 'clerk' }, '/subject/properties/act/type'],
    ['no id', { type: 'Agent' }, '/subject/properties/act/id'],
    ['an id that is no text', { type: 'Agent', id: 7 }, '/subject/properties/act/id'],
    ['properties that are none', agent('clerk', { properties: [] }), '/subject/properties/act/properties'],
    ['one without a type further up', agent('clerk', { act: { id: 'x' } }), '/subject/properties/act/act/type'],
    ['an issuer and no subject', { iss: 'https://idp.example' }, '/subject/properties/act/sub'],
    [
      'more than eight',
      Array.from({ length: 8 }).reduce((act: object) => agent('helper', { act }), agent()),
      `/subject/properties${'/act'.repeat(9)}`,
    ],
  ])('%s: 400, and nobody is judged', async (_, act, pointer) => {
    const response = await world.post(
      '/access/v1/evaluation',
      { ...refund(5), subject: user('lea', act) },
      { token: await world.pepToken() },
    )
    expect(await problemIn(response)).toMatchObject({ status: 400, reason: 'malformed_request', pointer })
    expect(await world.receipts()).toEqual([])
  })

  it('in a batch that item fails, and the others are judged', async () => {
    const evaluations = [forUser('lea'), forUser('lea', { id: 'clerk' }), forUser('ned')]
    const items = await world.evaluateAll({ ...refund(5), evaluations }, { token: await world.pepToken() })
    expect(items.map(brief)).toEqual(['allow: permitted', 'no: malformed_request', 'no: not_permitted'])
  })

  it.each([
    ['an agent', user('lea', { type: 'Robot', id: 'clerk' })],
    ['an agent further up', user('lea', agent('clerk', { act: { type: 'Robot', id: 'x' } }))],
    ['a user', { ...user('lea'), type: 'Person' }],
  ])('%s of a type that the schema has not: denied, and on no agent’s chain', async (_, subject) => {
    expect(await briefly({ ...refund(5), subject })).toBe('no: unknown_principal')
    expect(await world.receipts()).toEqual([])
    expect(await world.unattributed()).toHaveLength(1)
  })

  it.each([
    ['an agent', user('lea', { type: 'Team', id: 'desk' }), '/subject/properties/act/type'],
    [
      'one further up',
      user('lea', agent('clerk', { act: { type: 'Team', id: 'desk' } })),
      '/subject/properties/act/act/type',
    ],
    ['a user', { ...user('desk'), type: 'Team' }, '/subject/type'],
  ])('%s of a type that the action is not for', async (_, subject, pointer) => {
    const { context } = await world.evaluate({ ...refund(5), subject }, { token: await world.pepToken() })
    expect(context).toMatchObject({ reason: 'schema_mismatch', problems: [{ pointer, code: 'mistyped' }] })
  })

  it("an agent's own `act` is a claim: its token says who acts for whom", async () => {
    const token = await world.agentToken('clerk', { user: { type: 'User', id: 'lea' } })
    const judged = async (subject: unknown) => brief(await world.evaluate({ ...refund(5), subject }, { token }))
    expect(await judged(user('lea', agent('outsider')))).toBe('allow: permitted')
    expect(await judged(user('lea', 'nonsense'))).toBe('allow: permitted')
    expect(await judged(agent('clerk', { properties: { act: agent('outsider') } }))).toBe('allow: permitted')
    const [receipt] = await world.receipts()
    expect(bodyOf(receipt).agent).toEqual(agent())
    expect(secretsOf(receipt).user.value).toEqual({ type: 'User', id: 'lea' })
    // It can't name itself a user either.
    const refused = await world.post('/access/v1/evaluation', { ...refund(5), ...forUser('ned') }, { token })
    expect(await problemIn(refused)).toMatchObject({ status: 403, reason: 'subject_mismatch' })
    const alone = await world.post(
      '/access/v1/evaluation',
      { ...refund(5), ...forUser('lea') },
      { token: await world.agentToken() },
    )
    expect(await problemIn(alone)).toMatchObject({ status: 403, reason: 'subject_mismatch' })
  })
})

describe('an actor by the name that its issuer gives it', () => {
  const ISS = 'https://idp.example'
  const entry: Issuer = {
    id: 'idp',
    iss: ISS,
    algorithms: ['ES256'],
    jwks: { keys: [{ kty: 'EC' }] },
    roles: { allowed: ['agent'], claim: 'roles', default: ['agent'] },
    agent: { type: 'Agent', prefix: '', ids: { 'svc-clerk': 'clerk', 'svc-new': 'new' }, admit: 'listed' },
    skew: 0,
    max_age: 3600,
  }
  const mapped = (change: Partial<Issuer> = {}) =>
    createWorld({ change: bundle => bundle.settings.issuers.push({ ...entry, ...change }) })

  it('is the entity that the bundle makes of it', async () => {
    const at = await mapped()
    expect(await briefly({ ...refund(5), ...forUser('lea', { iss: ISS, sub: 'svc-clerk' }) }, at)).toBe(
      'allow: permitted',
    )
    expect(bodyOf((await at.receipts())[0]).agent).toEqual(agent())
    const further = agent('helper', { act: { iss: ISS, sub: 'svc-clerk' } })
    expect(await briefly({ ...refund(5), ...forUser('lea', further) }, at)).toBe('allow: permitted')
  })

  it.each([
    ['a name that the rule does not map', { iss: ISS, sub: 'svc-other' }],
    ['one that is not listed', { iss: ISS, sub: 'svc-new' }],
    ['an issuer that the bundle has not', { iss: 'https://other.example', sub: 'svc-clerk' }],
    ['an issuer that names no agents', { iss: 'urn:countersign:development', sub: 'clerk' }],
  ])('%s is nobody', async (_, act) => {
    const at = await mapped()
    const ask = { ...refund(5), ...forUser('lea', act) }
    const response = await at.post('/access/v1/evaluation', ask, { token: await at.pepToken() })
    expect(await problemIn(response)).toMatchObject({
      status: 403,
      reason: 'unknown_agent',
      pointer: '/subject/properties/act',
    })
  })

  it('where the rule admits all, it needn’t be listed', async () => {
    const at = await mapped({ agent: { type: 'Agent', prefix: '', admit: 'all' } })
    expect(await briefly({ ...refund(5), ...forUser('lea', { iss: ISS, sub: 'svc-new' }) }, at)).toBe(
      'allow: permitted',
    )
  })
})

describe('who is stopped is stopped through a PEP too', () => {
  const ask = (id = 'lea') => ({ ...refund(5), ...forUser(id) })
  const kill = async (target: unknown, path = '/v1/kills') =>
    world.post(path, { target, reason: 'incident 7', agent: agent() }, await adminOf(world))

  it.each([
    ['the user', { kind: 'user', type: 'User', id: 'lea' }],
    ["the user's group", { kind: 'group', type: 'Team', id: 'leads' }],
    ['the agent', { kind: 'agent', type: 'Agent', id: 'clerk' }],
  ])('%s, by a kill switch', async (_, target) => {
    expect(await briefly(ask())).toBe('allow: permitted')
    expect((await kill(target)).status).toBe(200)
    expect(await briefly(ask())).toBe('no: killed')
    await kill(target, '/v1/kills/lift')
    expect(await briefly(ask())).toBe('allow: permitted')
  })

  it('not by that of another user', async () => {
    await kill({ kind: 'user', type: 'User', id: 'ned' })
    expect(await briefly(ask())).toBe('allow: permitted')
  })

  it('a permit that is out can not be redeemed any more', async () => {
    world = await createWorld({ folder: 'bank' })
    const token = await world.pepToken()
    const doing = (name: string, properties: Named = {}) =>
      world.evaluate(
        { ...forUser('lea'), action: { name, properties }, resource: { type: 'Account', id: 'a1' } },
        { token },
      )
    await doing('view')
    const { permit } = (await doing('wire', { amount: 1 })).context
    await kill({ kind: 'user', type: 'User', id: 'lea' })
    const refused = await world.post('/v1/permits/redeem', { permit }, { token })
    expect(await problemIn(refused)).toMatchObject({ status: 409, reason: 'killed' })
  })

  it('a user who is suspended, in decisions, searches and filters', async () => {
    const token = await world.pepToken()
    const searching = async () => {
      const query = { subject: user('lea'), action: { name: 'read' }, resource: { type: 'Order' } }
      const found = await world.post('/access/v1/search/resource', query, { token })
      const filter = await world.post('/v1/scope', query, { token })
      return [await found.json(), await filter.json()]
    }
    expect(await briefly(ask())).toBe('allow: permitted')
    expect(await searching()).toMatchObject([{ context: { recorded: true } }, { scope: 'when' }])
    await world.post('/v1/agents/User/lea/suspend', { reason: 'left' }, await adminOf(world))
    clock.advance(20_000)
    await briefly(ask('ned'))
    expect(await briefly(ask())).toBe('no: revoked')
    expect(await searching()).toMatchObject([
      { results: [], context: { reason: 'revoked' } },
      { scope: 'never', context: { reason: 'revoked' } },
    ])
    // Whoever acts for nobody is judged as ever.
    expect(await briefly(refund(5))).toBe('allow: permitted')
    await world.post('/v1/agents/User/lea/resume', { reason: 'back' }, await adminOf(world))
    clock.advance(20_000)
    await briefly(ask('ned'))
    expect(await briefly(ask())).toBe('allow: permitted')
  })

  it('nobody can say whether the user was: denied', async () => {
    const DB = new Proxy(env.DB, {
      get: () => () => {
        throw new Error('D1 is cut off')
      },
    })
    const app = createApp({ now: clock.now, source: createSource() })
    const send = async (request: Request) =>
      app.fetch(request, { ...env, DB }, { waitUntil: () => {}, passThroughOnException: () => {}, props: {} })
    const token = await world.pepToken()
    const evaluations = [forUser('lea'), {}]
    const items = await world.evaluateAll({ ...refund(5), evaluations }, { token, send })
    expect(items.map(brief)).toEqual(['no: control_unreachable', 'allow: permitted'])
  })
})

describe('what is kept for the user', () => {
  it('a budget for each user counts what agents spend by their own tokens and through a PEP', async () => {
    const at = await createWorld({ folder: 'bank' })
    const tip = (amount: number, more: Named) => ({
      action: { name: 'tip', properties: { amount } },
      resource: { type: 'Account', id: 'a1' },
      ...more,
    })
    const lea = await at.agentToken('helper', { user: { type: 'User', id: 'lea' } })
    expect(brief(await at.evaluate(tip(60, { subject: agent('helper') }), { token: lea }))).toBe('allow: permitted')
    expect(await briefly(tip(50, forUser('lea')), at)).toBe('no: budget_exhausted')
    expect(await briefly(tip(30, forUser('lea')), at)).toBe('allow: permitted')
    expect(brief(await at.evaluate(tip(20, { subject: agent('helper') }), { token: lea }))).toBe('no: budget_exhausted')
    // Another user's, and the agent's own, are others.
    expect(await briefly(tip(100, forUser('max')), at)).toBe('allow: permitted')
    expect(await briefly(tip(100, { subject: agent() }), at)).toBe('allow: permitted')
  })

  it('an outcome is reported with the same subject, or with the agent', async () => {
    const token = await world.pepToken()
    for (const subject of [user('lea'), agent()]) {
      const { context } = await world.evaluate({ ...refund(5), ...forUser('lea') }, { token })
      const report = { outcome: 'done', subject }
      const reported = await world.post(`/v1/decisions/${context.evaluation_id}/outcome`, report, { token })
      expect(reported.status).toBe(200)
    }
    const { context } = await world.evaluate({ ...refund(5), ...forUser('lea') }, { token })
    const path = `/v1/decisions/${context.evaluation_id}/outcome`
    const malformed = await world.post(path, { outcome: 'done', subject: user('lea', {}) }, { token })
    expect(await problemIn(malformed)).toMatchObject({ status: 400, pointer: '/subject/properties/act/type' })
  })

  it('an approval binds the user, who does not answer it', async () => {
    const desk = await createDesk()
    const token = await desk.pepToken()
    const ask = larger(600, { subject: user('uma') })
    const { task } = await desk.requested(ask, {}, token)
    expect(await reasonIn(await desk.vote(task, 'uma'))).toBe('self_approval')
    expect((await desk.vote(task, 'fay')).status).toBe(200)
    const { result } = await desk.status(task, token)
    const presenting = async (subject: unknown, by = token) =>
      brief(await desk.evaluate(withApproval(larger(600, { subject }), result?.approval), by))
    expect(await presenting(user('finn'))).toBe('no: approval_mismatch')
    expect(await presenting(agent())).toBe('no: approval_mismatch')
    expect(await presenting(user('uma'))).toBe('allow: permitted')
    expect(await presenting(user('uma'))).toBe('no: approval_used')
  })

  it('a request for approval names the subject of the denial', async () => {
    const desk = await createDesk()
    const token = await desk.pepToken()
    const denial = await desk.denied(larger(600, { subject: user('uma') }), token)
    for (const subject of [user('finn'), agent(), user('uma', agent('helper'))]) {
      const response = await desk.request({ ...submission(denial), subject }, { token })
      expect(response.status).toBe(400)
      expect(await reasonIn(response)).toBe('invalid_denial_binding')
    }
    const malformed = await desk.request({ ...submission(denial), subject: user('uma', {}) }, { token })
    expect(await problemIn(malformed)).toMatchObject({ status: 400, reason: 'malformed_request' })
    expect((await desk.request(submission(denial), { token })).status).toBe(202)
  })
})

describe('on record', () => {
  const NAME = 'lea-of-the-leads'
  const privacy = {
    personal: [{ of: 'user' as const, fields: ['user' as const, 'arguments' as const] }],
    people: ['User'],
  }
  const recorded = async (id: string, act: unknown = agent('clerk', { properties: { tier: 'gold' } })) => {
    const at = await createLogWorld({ privacy, judge_user: false })
    const token = await at.pepToken()
    const subject = user(id, act, { vip: true })
    const { context } = await at.evaluate({ ...asking('export'), subject }, { token })
    clock.advance(3_000)
    await runDurableObjectAlarm(at.object())
    return {
      at,
      id: context.evaluation_id,
      read: (path = '') => at.getJson(`/v1/decisions/${context.evaluation_id}${path}`),
    }
  }
  const stored = async ({ tenant, object }: Pick<World, 'tenant' | 'object'>) => {
    const rows = await env.DB.prepare('SELECT * FROM receipts WHERE tenant = ?').bind(tenant).all()
    const own = await runInDurableObject(object(), (_, { storage }) =>
      storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf*'")
        .toArray()
        .map(({ name }) => storage.sql.exec(`SELECT * FROM ${name}`).toArray()),
    )
    return JSON.stringify([rows.results, own])
  }

  it('what is personal of the user lies under their key, is found by it, and goes with it', async () => {
    const { at, read } = await recorded(NAME)
    expect(await stored(at)).not.toContain(NAME)
    expect((await read()).secrets).toMatchObject({
      user: { value: { type: 'User', id: NAME } },
      asserted: { value: { subject: { vip: true }, actor: { tier: 'gold' } } },
    })
    const found = () => at.getJson(`/v1/receipts?user=${encodeURIComponent(`User::"${NAME}"`)}`)
    expect((await found()).receipts).toHaveLength(1)
    const subject = { type: 'User', id: NAME }
    const erased = await at.post('/v1/erasures', { subject, reason: 'asked to' }, await adminOf(at))
    expect(erased.status).toBe(200)
    expect((await found()).receipts).toEqual([])
    expect((await read()).secrets.user).toBeUndefined()
    expect((await read()).body.agent).toEqual(agent())
  })

  it('it can be judged again: by both, and with what was said of both', async () => {
    const { read } = await recorded('lea')
    expect(await read('/again')).toMatchObject({
      recorded: { outcome: 'allow', policies: ['gold-exports'] },
      again: { outcome: 'allow', policies: ['gold-exports'] },
      same: true,
    })
    const denied = await recorded('lea', agent())
    expect(await denied.read('/again')).toMatchObject({ again: { reason: 'not_permitted' }, same: true })
  })
})

import { env } from 'cloudflare:workers'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { agentName } from '../../src/decision/prepare.ts'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, problemIn, refund, type World } from '../http/world.ts'

let world: World
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
})
const lea = { type: 'User', id: 'lea' }
const ned = { type: 'User', id: 'ned' }
const helper = { type: 'Agent', id: 'helper' }
const outsider = { type: 'Agent', id: 'outsider' }
const briefly = async (ask: unknown, token: string) => brief(await world.evaluate(ask, { token }))

describe('an agent that acts for a user: both must be permitted', () => {
  it('the agent may, and the user may', async () => {
    expect(await briefly(refund(5), await world.agentToken('clerk', { user: lea }))).toBe('allow: permitted')
  })

  it('the agent may, and the user may not', async () => {
    expect(await briefly(refund(5), await world.agentToken('clerk', { user: ned }))).toBe('no: not_permitted')
  })

  it('the user may, and the agent may not', async () => {
    const token = await world.agentToken('outsider', { user: lea })
    expect(await briefly(asking('read', { subject: outsider }), token)).toBe('no: not_permitted')
  })

  it('the agent alone may what its user may not', async () => {
    expect(await briefly(refund(5), await world.agentToken())).toBe('allow: permitted')
  })

  it('a user that the bundle does not know', async () => {
    const token = await world.agentToken('clerk', { user: { type: 'User', id: 'stranger' } })
    expect(await briefly(asking('read'), token)).toBe('no: unknown_principal')
  })

  it("where the tenant switched the user's leg off, the agent alone is judged, and the permit still names the user", async () => {
    const other = await createWorld({ settings: { judge_user: false } })
    const token = await other.agentToken('clerk', { user: ned })
    expect((await other.evaluate(refund(5), { token })).decision).toBe(true)
  })
})

describe('every agent that delegated must be permitted too', () => {
  it.each([
    ['one that may', [helper], 'allow: permitted'],
    ['one that may not', [outsider], 'no: not_permitted'],
    ['the second that may not', [helper, outsider], 'no: not_permitted'],
    ['one that the bundle does not know', [{ type: 'Agent', id: 'ghost' }], 'no: unknown_agent'],
  ])('%s', async (_, chain, expected) => {
    expect(await briefly(asking('read'), await world.agentToken('clerk', { chain }))).toBe(expected)
  })
})

describe('an agent may ask for itself, or for the user that it acts for', () => {
  it('for its user: the same chain, the same object, the same judgement', async () => {
    const token = await world.agentToken('clerk', { user: lea })
    expect(await briefly(asking('read', { subject: lea }), token)).toBe('allow: permitted')
    expect(await world.receipts()).toHaveLength(1)
    expect(await world.receipts('lea', 'User')).toEqual([])
    const out = await world.agentToken('outsider', { user: lea })
    expect(await briefly(asking('read', { subject: lea }), out)).toBe('no: not_permitted')
  })

  it.each([
    ['another agent', helper],
    ['a user that it does not act for', ned],
    ['an agent that delegated to it', outsider],
    ['its own id under another type', { type: 'User', id: 'clerk' }],
    ["the user's id under another type", { type: 'Agent', id: 'lea' }],
    ['an id that differs in case', { type: 'Agent', id: 'Clerk' }],
    ['an id with a space', { type: 'Agent', id: 'clerk ' }],
  ])('for %s: 403, and nobody is judged', async (_, subject) => {
    const token = await world.agentToken('clerk', { user: lea, chain: [outsider] })
    const response = await world.post('/access/v1/evaluation', asking('read', { subject }), { token })
    expect(response.status).toBe(403)
    expect(await problemIn(response)).toMatchObject({ reason: 'subject_mismatch', pointer: '/subject' })
    expect(await world.receipts()).toEqual([])
    expect(await world.receipts(subject.id, subject.type)).toEqual([])
  })
})

describe("a PEP's word counts, an agent's is a claim", () => {
  const gold = { type: 'Agent', id: 'clerk', properties: { tier: 'gold' } }
  const open = { type: 'Order', id: '7', properties: { status: 'open' } }
  it.each<[string, Record<string, unknown>]>([
    ["the subject's properties", { subject: gold }],
    ["the resource's properties", { resource: open }],
    ['the environment', { context: { channel: 'private' } }],
    ['an address', { context: { ip: '127.0.0.1' } }],
  ])('%s', async (_, more) => {
    expect(await briefly(asking('export', more), await world.pepToken())).toBe('allow: permitted')
    expect(await briefly(asking('export', more), await world.agentToken())).toBe('no: not_permitted')
    // Not even ill-typed: it reaches nothing.
    expect(await briefly(asking('export'), await world.agentToken())).toBe('no: not_permitted')
  })

  it('what an agent claims is not held against it either', async () => {
    const more = { subject: { ...gold, properties: { tier: 5 } }, context: { channel: 5 } }
    expect(await briefly(asking('read', more), await world.agentToken())).toBe('allow: permitted')
  })

  it('a PEP overrides an attribute of the bundle, for that decision alone', async () => {
    const pep = await world.pepToken()
    const closed = { type: 'Order', id: 'closed' }
    expect(await briefly(asking('read', { resource: closed }), pep)).toBe('no: forbidden')
    expect(await briefly(asking('read', { resource: { ...closed, properties: { status: 'open' } } }), pep)).toBe(
      'allow: permitted',
    )
    expect(await briefly(asking('read', { resource: closed }), pep)).toBe('no: forbidden')
  })

  it('a property that the schema does not declare reaches no policy, and harms nothing', async () => {
    const subject = { ...gold, properties: { tier: 'gold', constructor: 1, shoe: 44 } }
    expect(await briefly(asking('export', { subject }), await world.pepToken())).toBe('allow: permitted')
  })

  it('a PEP cannot put its subject into a group', async () => {
    const subject = { ...outsider, properties: { parents: [{ type: 'Team', id: 'desk' }], in: 'desk' } }
    expect(await briefly(asking('read', { subject }), await world.pepToken())).toBe('no: not_permitted')
  })

  it("a token's groups count for the agent itself, not for its user", async () => {
    const groups = [{ type: 'Team', id: 'desk' }]
    const ask = asking('read', { subject: outsider })
    expect(await briefly(ask, await world.agentToken('outsider', { groups }))).toBe('allow: permitted')
    const token = await world.agentToken('outsider', { groups, user: { type: 'User', id: 'new' }, admit: true })
    expect(await briefly(ask, token)).toBe('no: not_permitted')
  })

  it('arguments are what is judged, whoever sends them', async () => {
    expect(await briefly(refund(500), await world.agentToken())).toBe('allow: permitted')
    expect(await briefly(refund(501), await world.agentToken())).toBe('no: forbidden')
  })

  it('undeclared arguments of an action that takes any arrive as text, whatever their names', async () => {
    const annotate = (properties: unknown) => ({ ...asking('annotate'), action: { name: 'annotate', properties } })
    const token = await world.agentToken()
    expect(await briefly(annotate({ text: 't', size: [1, 2], colour: 'red' }), token)).toBe('allow: permitted')
    expect(await briefly(annotate({ text: 't', size: [1, 2], colour: 'red', constructor: 1 }), token)).toBe(
      'no: not_permitted',
    )
    // A caller's own `extra` is one of them: it can't speak as the text.
    expect(await briefly(annotate({ text: 't', extra: '{"colour":"red","size":[1,2]}' }), token)).toBe(
      'no: not_permitted',
    )
    // An integer that a double can't hold would be judged and hashed as its neighbour.
    expect(await briefly(annotate({ text: 't', ids: [9_007_199_254_740_992] }), token)).toBe('no: schema_mismatch')
  })
})

describe('a forbid that errs', () => {
  const add = (number: number) => ({ ...asking('add'), action: { name: 'add', properties: { number } } })

  it('denies, with policy_error and the policy', async () => {
    const { context } = await world.evaluate(add(2_000), { token: await world.pepToken() })
    expect(context).toMatchObject({
      outcome: 'deny',
      reason: 'policy_error',
      recorded: true,
      policies: ['never-negative'],
    })
  })

  it('does not where it does not err', async () => {
    expect(await briefly(add(1), await world.agentToken())).toBe('allow: permitted')
    expect(await briefly(add(-1), await world.agentToken())).toBe('no: forbidden')
  })
})

describe('the policies that decided', () => {
  it.each<[string, () => Promise<string>, string[] | undefined]>([
    ['are told to a PEP', () => world.pepToken(), ['desk-reads']],
    [
      'are told to an agent that is an auditor too',
      () => world.agentToken('clerk', { roles: ['agent', 'auditor'] }),
      ['desk-reads'],
    ],
    ['are not told to an agent', () => world.agentToken(), undefined],
  ])('%s', async (_, token, policies) => {
    expect((await world.evaluate(asking('read'), { token: await token() })).context.policies).toEqual(policies)
    expect((await world.evaluate(refund(501), { token: await token() })).context.policies).toEqual(
      policies && ['refund-cap'],
    )
  })

  it('are told to agents where the bundle lets them know, and stand in the receipt anyway', async () => {
    const other = await createWorld({ settings: { explain_to_agents: true } })
    expect((await other.evaluate(asking('read'), { token: await other.agentToken() })).context.policies).toEqual([
      'desk-reads',
    ])
    await world.evaluate(asking('read'), { token: await world.agentToken() })
    const [receipt] = await world.receipts()
    expect(JSON.parse(receipt?.body ?? '').decision.policies).toEqual(['desk-reads'])
  })
})

describe('tenants never meet', () => {
  it('a token of one is refused at another, whatever it says it may', async () => {
    const other = await createWorld()
    for (const token of [await world.agentToken(), await world.pepToken(), await world.token({ roles: ['admin'] })]) {
      const response = await other.post('/access/v1/evaluation', asking('read'), { token })
      expect(response.status).toBe(401)
      expect((await problemIn(response)).reason).toBe('invalid_token')
    }
    expect(
      (
        await other.post(
          '/v1/agents/Agent/clerk/suspend',
          { reason: 'r' },
          { token: await world.token({ roles: ['admin'] }) },
        )
      ).status,
    ).toBe(401)
  })

  it('one agent name in two tenants is two objects, with their own chains and limits', async () => {
    const other = await createWorld()
    const [here, there] = [await world.agentToken(), await other.agentToken()]
    const batch = { ...asking('ping'), evaluations: [{}, {}, {}, {}] }
    expect((await world.evaluateAll(batch, { token: here })).map(item => item.decision)).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect((await other.evaluateAll(batch, { token: there })).map(item => item.decision)).toEqual([
      true,
      true,
      true,
      false,
    ])
    const [mine, theirs] = [await world.receipts(), await other.receipts()]
    expect(mine.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    expect(theirs.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    expect(new Set([...mine, ...theirs].map(({ hash }) => hash)).size).toBe(8)
    expect(agentName(world.tenant, helper)).not.toBe(agentName(other.tenant, helper))
  })

  it('an Idempotency-Key of one means nothing at another', async () => {
    const other = await createWorld()
    const headers = { 'idempotency-key': 'k' }
    const mine = await world.evaluate(asking('read'), { token: await world.agentToken(), headers })
    const theirs = await other.evaluate(asking('read'), { token: await other.agentToken(), headers })
    expect(mine.context.evaluation_id).not.toBe(theirs.context.evaluation_id)
  })

  it("a bundle stored under another tenant's pointer is not taken", async () => {
    const other = await createWorld()
    const stolen = await createWorld({ tenant: `thief-${crypto.randomUUID().slice(0, 8)}` })
    // The pointer names a body that is there, but not under this tenant's key.
    await stolen.point({ seq: 9, hash: other.first.hash })
    clock.advance(200_000)
    const answer = await stolen.evaluate(asking('read'), { token: await stolen.pepToken() })
    expect(answer.context).toMatchObject({ outcome: 'deny', reason: 'bundle_stale' })
  })

  it('the root serves the configured tenant alone', async () => {
    const acme = await createWorld({ tenant: env.DEFAULT_TENANT })
    const token = await acme.pepToken()
    const atRoot = await acme.post(`${env.ORIGIN}/access/v1/evaluation`, asking('read'), { token })
    expect(atRoot.status).toBe(200)
    const foreign = await world.post(`${env.ORIGIN}/access/v1/evaluation`, asking('read'), {
      token: await world.pepToken(),
    })
    expect(foreign.status).toBe(401)
  })
})

describe('an issuer whose claims are mapped', () => {
  let sign: (claims: Record<string, unknown>) => Promise<string>
  let mapped: World
  beforeAll(async () => {
    const keys = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1' }
    mapped = await createWorld({
      change: bundle => {
        bundle.settings.issuers.push({
          id: 'idp',
          iss: 'https://idp.example',
          algorithms: ['ES256'],
          jwks: { keys: [jwk] },
          roles: { allowed: ['agent'], claim: 'roles', default: ['agent'] },
          agent: { type: 'Agent', prefix: '', ids: { 'svc-clerk': 'clerk', 'svc-out': 'outsider' }, admit: 'listed' },
          user: { type: 'User', prefix: '', admit: 'listed' },
          skew: 0,
          max_age: 3600,
        })
      },
    })
    sign = claims => {
      const now = Math.floor(clock.now() / 1000)
      return new SignJWT({ iss: 'https://idp.example', aud: mapped.identifier, iat: now, exp: now + 60, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .sign(keys.privateKey)
    }
  })

  it('the agent acts for itself: sub', async () => {
    const token = await sign({ sub: 'svc-clerk' })
    expect(brief(await mapped.evaluate(refund(5), { token }))).toBe('allow: permitted')
  })

  it('the agent acts for a user: act in sub, and both are judged', async () => {
    const act = { sub: 'svc-clerk' }
    expect(brief(await mapped.evaluate(refund(5), { token: await sign({ sub: 'lea', act }) }))).toBe('allow: permitted')
    expect(brief(await mapped.evaluate(refund(5), { token: await sign({ sub: 'ned', act }) }))).toBe(
      'no: not_permitted',
    )
    const delegated = { sub: 'svc-clerk', act: { sub: 'svc-out' } }
    expect(brief(await mapped.evaluate(asking('read'), { token: await sign({ sub: 'lea', act: delegated }) }))).toBe(
      'no: not_permitted',
    )
  })

  it('an agent that the mapping does not cover is unknown', async () => {
    expect(brief(await mapped.evaluate(asking('read'), { token: await sign({ sub: 'svc-other' }) }))).toBe(
      'no: unknown_agent',
    )
  })
})

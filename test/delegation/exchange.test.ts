import { runDurableObjectAlarm } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { asking, createWorld, refund, sign } from '../http/world.ts'
import { holder, prove } from '../identity/proofs.ts'
import { forge, pair } from '../identity/tokens.ts'
import { ask, delegate, exchange, GRANT, ID_JAG, outcome, purseAt, refusalOf, sending } from './delegating.ts'

afterEach(() => clock.reset())

const REFUND = { ...GRANT, actions: ['refund'] }
const small = { ...REFUND, resources: [{ type: 'Order', id: '7' }], arguments: { amount: { lte: 100 } } }
const helper = { subject: { type: 'Agent', id: 'helper' } }
const asHelper = (what: object) => ({ ...what, ...helper })

describe('a child agent', () => {
  it('may do what policy permits, its parent may and the grant says; the answer names what refused', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper', details: [small] })
    expect(await outcome(world, child, asHelper(refund(100)))).toBe('permitted')

    const beyond = await ask(world, child, asHelper(refund(101)))
    expect(beyond.context).toMatchObject({ reason: 'outside_grant', refused_by: [{ grant: child.id }] })
    expect(await outcome(world, child, asHelper({ ...refund(50), resource: { type: 'Order', id: '8' } }))).toBe(
      'outside_grant',
    )
    expect(await outcome(world, child, asHelper(asking('read')))).toBe('outside_grant')
    // Policy still counts, for the child and for its parent.
    expect(await outcome(world, child, asHelper(refund(600)))).toBe('forbidden')
  })

  it('stands with its parents in the chain of the decision and the receipt', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken('clerk', { user: { type: 'User', id: 'lea' } }), {
      agent: 'helper',
    })
    expect(await outcome(world, child, asHelper(refund(1)))).toBe('permitted')
    const [receipt] = await world.receipts('helper')
    expect(JSON.parse(receipt?.body ?? '')).toMatchObject({
      agent: { type: 'Agent', id: 'helper' },
      delegated_by: [{ type: 'Agent', id: 'clerk' }],
    })
    const kinds = (await world.receipts('clerk')).map(({ kind }) => kind)
    expect(kinds).toEqual(['delegation'])
  })

  it('may not do what its parent may not, whatever policy permits the child', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken('outsider'), { agent: 'helper' })
    expect(await outcome(world, child, asHelper(asking('read')))).toBe('not_permitted')
  })

  it('needs its key: the token is no bearer’s, and of no other key', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
    expect((await world.post('/access/v1/evaluation', asHelper(refund(1)), { token: child.token })).status).toBe(401)
    const thief = { ...child, key: await holder() }
    const path = '/access/v1/evaluation'
    expect((await world.post(path, asHelper(refund(1)), await sending(world, thief, path))).status).toBe(401)
  })

  it('that the bundle does not know, or of no known type, gets nothing', async () => {
    const world = await createWorld()
    const parent = await world.agentToken()
    expect(await refusalOf(delegate(world, parent, { agent: 'nobody' }))).toBe('unknown_agent')
    const odd = { more: { agent: JSON.stringify({ type: 'Robot', id: 'helper' }) } }
    expect(await refusalOf(delegate(world, parent, odd))).toBe('unknown_agent')
    expect(await refusalOf(delegate(world, await world.agentToken('nobody'), { agent: 'helper' }))).toBe(
      'unknown_agent',
    )
  })

  it('of a child has all grants above it to pass, and may not ask for what they lack', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper', details: [small] })
    const wide = { ...REFUND, arguments: { amount: { lte: 500 } } }
    const grandchild = await delegate(world, child, { agent: 'clerk', details: [wide] })
    expect(await outcome(world, grandchild, refund(100))).toBe('permitted')
    const refused = await ask(world, grandchild, refund(101))
    expect(refused.context.refused_by).toEqual([{ grant: child.id }])
    expect(await refusalOf(delegate(world, child, { details: [{ ...GRANT, actions: ['read'] }] }))).toBe('grant_widens')
  })

  it('gets no chain of more agents than are taken', async () => {
    const world = await createWorld()
    let last = await delegate(world, await world.agentToken('helper'), { agent: 'clerk' })
    for (let depth = 2; depth < 8; depth++) {
      last = await delegate(world, last, { agent: depth % 2 === 0 ? 'helper' : 'clerk' })
    }
    expect(await outcome(world, last, refund(1))).toBe('permitted')
    expect(await refusalOf(delegate(world, last, { agent: 'helper' }))).toBe('chain_too_long')
  })

  it('loses all with its token’s expiry, which is never after its parent’s', async () => {
    const world = await createWorld()
    const exp = Math.floor(clock.now() / 1000) + 120
    const child = await delegate(world, await world.agentToken('clerk', { exp }), { agent: 'helper' })
    clock.advance(200_000)
    const path = '/access/v1/evaluation'
    expect((await world.post(path, asHelper(refund(1)), await sending(world, child, path))).status).toBe(401)
  })

  it('loses a grant that has its own end, before the token', async () => {
    const world = await createWorld()
    const expires_at = Math.floor(clock.now() / 1000) + 60
    const child = await delegate(world, await world.agentToken(), {
      agent: 'helper',
      details: [{ ...small, expires_at }],
    })
    expect(await outcome(world, child, asHelper(refund(1)))).toBe('permitted')
    clock.advance(61_000)
    expect(await outcome(world, child, asHelper(refund(1)))).toBe('outside_grant')
  })
})

describe('what is counted', () => {
  it('is used up, also in one batch, and whoami says what is left', async () => {
    const world = await createWorld()
    const details = [{ ...REFUND, uses: 3, budget: { argument: 'amount', total: 100 } }]
    const child = await delegate(world, await world.agentToken(), { agent: 'helper', details })
    expect(await outcome(world, child, asHelper(refund(60)))).toBe('permitted')
    const over = await ask(world, child, asHelper(refund(41)))
    expect(over.context).toMatchObject({ reason: 'grant_exhausted', refused_by: [{ grant: child.id }] })
    const who = await world.send('GET', '/v1/whoami', undefined, await sending(world, child, '/v1/whoami', 'GET'))
    expect(await who.json()).toMatchObject({
      agent: { id: 'helper' },
      chain: [{ id: 'clerk' }],
      delegations: [child.id],
      authorization_details: [{ grant: child.id, left: { uses: 2, budget: 40 } }],
    })
    const path = '/access/v1/evaluations'
    const batch = { ...helper, evaluations: [10, 10, 10].map(amount => asHelper(refund(amount))) }
    const results = await world.evaluateAll(batch, await sending(world, child, path))
    expect(results.map(({ context }) => context.reason)).toEqual(['permitted', 'permitted', 'grant_exhausted'])
  })

  it('cannot be filled by spending less than nothing', async () => {
    const world = await createWorld()
    const details = [{ ...REFUND, budget: { argument: 'amount', total: 100 } }]
    const child = await delegate(world, await world.agentToken(), { agent: 'helper', details })
    expect(await outcome(world, child, asHelper(refund(-1_000)))).toBe('outside_grant')
    expect(await outcome(world, child, asHelper(refund(101)))).toBe('grant_exhausted')
  })

  it('is moved, not shared: a parent and 20 children spending at once never spend more than the parent had', async () => {
    const world = await createWorld()
    const total = 60
    const parent = await delegate(world, await world.agentToken(), {
      details: [{ ...REFUND, uses: total, budget: { argument: 'amount', total: total * 2 } }],
    })
    const share = { ...REFUND, uses: 2, budget: { argument: 'amount', total: 4 } }
    const children = await Promise.all(
      Array.from({ length: 20 }, () => delegate(world, parent, { agent: 'helper', details: [share] })),
    )
    const asked = await Promise.all([
      ...Array.from({ length: 40 }, () => outcome(world, parent, refund(2))),
      ...children.flatMap(child => Array.from({ length: 4 }, () => outcome(world, child, asHelper(refund(2))))),
    ])
    expect(asked.filter(reason => reason === 'permitted')).toHaveLength(total)
    expect(asked.filter(reason => reason === 'grant_exhausted')).toHaveLength(asked.length - total)
    // Nothing is left to hand on.
    expect(await refusalOf(delegate(world, parent, { agent: 'helper', details: [share] }))).toBe('grant_exhausted')
  })

  it('must be said where the parent’s is counted, and comes back when the child’s has lapsed', async () => {
    const world = await createWorld()
    const parent = await delegate(world, await world.agentToken(), { details: [{ ...REFUND, uses: 5 }] })
    expect(await refusalOf(delegate(world, parent, { agent: 'helper', details: [REFUND] }))).toBe('grant_uncounted')
    const uses = { details: [{ ...REFUND, uses: 3 }], more: { expires_in: '60' } }
    const child = await delegate(world, parent, { agent: 'helper', ...uses })
    expect(await outcome(world, child, asHelper(refund(1)))).toBe('permitted')
    expect(await purseAt(world.object(), parent.id)).toMatchObject({ uses: 2 })

    clock.advance(60_000 + 2 * 60_000 + 1)
    await runDurableObjectAlarm(world.object())
    expect(await purseAt(world.object(), parent.id)).toMatchObject({ uses: 4 })
    // Once only, and the child's is closed.
    await runDurableObjectAlarm(world.object())
    expect(await purseAt(world.object(), parent.id)).toMatchObject({ uses: 4 })
    expect(await purseAt(world.object('helper'), child.id)).toMatchObject({ closed: true })
  })

  it('is refused in a token of another issuer, which could not have moved it', async () => {
    const world = await createWorld()
    const now = Math.floor(clock.now() / 1000)
    const claims = {
      iss: 'urn:countersign:development',
      sub: 'x',
      aud: world.identifier,
      iat: now,
      exp: now + 60,
      roles: ['agent'],
      agent: { type: 'Agent', id: 'clerk' },
    }
    const counted = await sign({ ...claims, authorization_details: [{ ...REFUND, uses: 1 }] })
    expect((await world.post('/access/v1/evaluation', refund(1), { token: counted })).status).toBe(401)
    const plain = await sign({ ...claims, authorization_details: [small] })
    expect((await world.evaluate(refund(100), { token: plain })).decision).toBe(true)
    expect((await world.evaluate(refund(101), { token: plain })).context).toMatchObject({
      reason: 'outside_grant',
      refused_by: [{ grant: 'token' }],
    })
    const unknown = await sign({ ...claims, authorization_details: [{ type: 'payment_initiation' }] })
    expect((await world.post('/access/v1/evaluation', refund(1), { token: unknown })).status).toBe(401)
    const admin = await sign({ ...claims, roles: ['admin'], agent: undefined, authorization_details: [small] })
    expect((await world.send('GET', '/v1/delegations', undefined, { token: admin })).status).toBe(403)
  })
})

describe('a user’s token', () => {
  it('goes with the agent’s, and both are judged from then on', async () => {
    const world = await createWorld()
    const lea = await world.token({ sub: 'lea', user: { type: 'User', id: 'lea' } })
    const ned = await world.token({ sub: 'ned', user: { type: 'User', id: 'ned' } })
    const actor = await world.agentToken()
    expect(await outcome(world, await delegate(world, lea, { actor }), refund(1))).toBe('permitted')
    expect(await outcome(world, await delegate(world, ned, { actor }), refund(1))).toBe('not_permitted')
    expect(await refusalOf(delegate(world, lea))).toBe('invalid_token')
    const acting = await world.agentToken('clerk', { user: { type: 'User', id: 'ned' } })
    expect(await refusalOf(delegate(world, lea, { actor: acting }))).toBe('invalid_token')
  })

  it('may be an identity assertion (ID-JAG), for the client that it names, once', async () => {
    const key = await pair('ES256', 'idp')
    const world = await createWorld({
      change: bundle => {
        bundle.settings.issuers.push({
          id: 'idp',
          iss: 'https://idp.example',
          algorithms: ['ES256'],
          jwks: { keys: [key.public] },
          roles: { allowed: [], claim: 'roles', default: [] },
          user: { type: 'User', prefix: '', ids: { 'lea@example': 'lea' }, admit: 'listed' },
          id_jag: true,
          skew: 30,
          max_age: 600,
        })
      },
    })
    const now = Math.floor(clock.now() / 1000)
    const claims = {
      iss: 'https://idp.example',
      sub: 'lea@example',
      aud: world.identifier,
      client_id: 'tester',
      jti: 'assertion-1',
      iat: now,
      exp: now + 300,
    }
    const jag = (changes = {}, typ = 'oauth-id-jag+jwt') =>
      forge(key, { ...claims, ...changes }, { alg: 'ES256', kid: 'idp', typ })
    const actor = await world.agentToken()
    const use = async (subject: string) => delegate(world, subject, { actor, subjectType: ID_JAG })
    const token = await jag()
    expect(await outcome(world, await use(token), refund(1))).toBe('permitted')
    expect(await refusalOf(use(token))).toBe('invalid_dpop_proof')
    for (const changes of [
      { client_id: 'another' },
      { aud: 'https://elsewhere.example' },
      { aud: [world.identifier] },
      { sub: 'mallory@example' },
      { exp: now - 60 },
      { jti: undefined },
      { scope: 'all' },
    ])
      expect(await refusalOf(use(await jag({ jti: crypto.randomUUID(), ...changes }))), JSON.stringify(changes)).toBe(
        'invalid_token',
      )
    expect(await refusalOf(use(await jag({ jti: 'b' }, 'JWT')))).toBe('invalid_token')
    // It is no access token.
    expect((await world.send('GET', '/v1/whoami', undefined, { token: await jag({ jti: 'c' }) })).status).toBe(401)
  })
})

describe('the token endpoint', () => {
  it('mints for no one who holds no key', async () => {
    const world = await createWorld()
    const response = await exchange(world, { subject: await world.agentToken() })
    expect(await response.json()).toMatchObject({ error: 'invalid_dpop_proof' })
    const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const thief = await holder()
    const proof = await prove(thief, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
    for (const attempt of [{ jkt: thief.jkt }, { proof }, { proof, jkt: thief.jkt }])
      expect(await (await exchange(world, { subject: child.token, ...attempt })).json()).toMatchObject({
        error: 'invalid_dpop_proof',
      })
  })

  it('binds the token to the key of the proof where none is named, and takes a proof once', async () => {
    const world = await createWorld()
    const key = await holder()
    const proof = await prove(key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
    const subject = await world.agentToken()
    const body: { access_token: string } = await (await exchange(world, { subject, proof })).json()
    expect(await outcome(world, { token: body.access_token, key, id: '', details: [] }, refund(1))).toBe('permitted')
    expect(await (await exchange(world, { subject, proof })).json()).toMatchObject({ error: 'invalid_dpop_proof' })
  })

  it.each([
    ['another grant type', { grant_type: 'client_credentials' }, 'unsupported_grant_type'],
    ['a scope', { scope: 'all' }, 'invalid_scope'],
    ['another audience', { audience: 'https://elsewhere.example' }, 'invalid_target'],
    ['another token type asked for', { requested_token_type: 'urn:x' }, 'invalid_request'],
    ['an unknown kind of subject', { subject_token_type: 'urn:x' }, 'invalid_request'],
    ['an actor without its type', { actor_token: 'a.b.c' }, 'invalid_request'],
    ['a short thumbprint', { dpop_jkt: 'abc' }, 'invalid_request'],
    ['details that are no JSON', { authorization_details: '{' }, 'invalid_authorization_details'],
    ['an unknown type', { authorization_details: '[{"type":"x"}]' }, 'invalid_authorization_details'],
    [
      'a misspelt member',
      { authorization_details: JSON.stringify([{ ...REFUND, use: 1 }]) },
      'invalid_authorization_details',
    ],
    [
      'a name of its own',
      { authorization_details: JSON.stringify([{ ...REFUND, grant: 'g' }]) },
      'invalid_authorization_details',
    ],
    [
      'an unknown action',
      { authorization_details: JSON.stringify([{ ...GRANT, actions: ['fly'] }]) },
      'invalid_authorization_details',
    ],
    [
      'an unknown argument',
      { authorization_details: JSON.stringify([{ ...REFUND, arguments: { weight: { eq: 1 } } }]) },
      'invalid_authorization_details',
    ],
    [
      'a value of another type',
      { authorization_details: JSON.stringify([{ ...REFUND, arguments: { amount: { lte: 'x' } } }]) },
      'invalid_authorization_details',
    ],
    [
      'a budget of a text',
      { authorization_details: JSON.stringify([{ ...REFUND, budget: { argument: 'tags', total: 1 } }]) },
      'invalid_authorization_details',
    ],
    [
      'two that count',
      { authorization_details: JSON.stringify([{ ...REFUND, uses: 1 }, small]) },
      'invalid_authorization_details',
    ],
    ['a forged subject', { subject_token: 'a.b.c' }, 'invalid_grant'],
  ])('refuses %s, in OAuth’s words', async (_, more, error) => {
    const world = await createWorld()
    const key = await holder()
    const response = await exchange(world, { subject: await world.agentToken(), jkt: key.jkt, more })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error })
    expect(await world.receipts()).toHaveLength(0)
  })

  it('leaves a suspended agent nothing to hand on', async () => {
    const world = await createWorld()
    const admin = await world.token({ roles: ['admin'] })
    await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'test' }, { token: admin })
    const refused = await refusalOf(delegate(world, await world.agentToken(), { agent: 'helper' }))
    // By its own object, or before that by the list of what was taken away.
    expect(['suspended', 'revoked']).toContain(refused)
  })
})

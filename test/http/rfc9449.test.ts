import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { contentHash, sha256 } from '../../src/durable/hash.ts'
import { clock } from '../clock.ts'
import { type Delegated, delegate, exchange, GRANT, outcome, refusalOf, sending } from '../delegation/delegating.ts'
import { type Holder, holder, prove } from '../identity/proofs.ts'
import { answerIn, asking, createWorld, problemIn, refund, type TokenClaims, type World } from './world.ts'

/** The rules of RFC 9449, section 11 that test/identity/dpop.test.ts and test/http/dpop.test.ts don't name. */
afterEach(() => clock.reset())

const EVALUATION = '/access/v1/evaluation'

/** A token of another issuer, bound to a key; `cnf` replaces the binding. */
const bound = async (world: World, key: Holder, more: TokenClaims = {}): Promise<Delegated> => {
  const { agent = { type: 'Agent', id: 'clerk' }, ...claims } = more
  const token = await world.token({ roles: ['agent'], agent, cnf: { jkt: key.jkt }, ...claims })
  return { token, key, id: '', details: [] }
}

const proofFor = (world: World, { key, token }: Delegated, claims: Record<string, unknown> = {}, path = EVALUATION) =>
  prove(key, { method: 'POST', url: world.identifier + path, now: clock.now(), token }, { claims })

const evaluate = (world: World, token: string, dpop: string, ask: unknown, more: Record<string, string> = {}) =>
  world.post(EVALUATION, ask, { headers: { authorization: `DPoP ${token}`, dpop, ...more } })

describe('11.4 untrusted code in the client context', () => {
  it('carries away proofs that are worth a minute, even where they were dated ahead', async () => {
    const world = await createWorld({
      change: bundle => {
        for (const issuer of bundle.settings.issuers) issuer.dpop = 'nonce'
      },
    })
    const agent = await bound(world, await holder())
    const first = await evaluate(world, agent.token, await proofFor(world, agent), asking('read'))
    const nonce = first.headers.get('dpop-nonce')
    const later = Math.floor(clock.now() / 1000) + 900
    const [soon, ahead] = [
      await proofFor(world, agent, { nonce }),
      // Right when its time comes, but for the nonce that nobody knew.
      await proofFor(world, agent, { nonce, iat: later }),
    ]
    expect((await evaluate(world, agent.token, ahead, asking('read'))).status).toBe(401)
    clock.advance(900_000)
    const stale = await evaluate(world, agent.token, soon, asking('read'))
    expect((await problemIn(stale)).reason).toMatch(/^(invalid_dpop_proof|use_dpop_nonce)$/)
    const dated = await evaluate(world, agent.token, ahead, asking('read'))
    expect((await problemIn(dated)).reason).toBe('use_dpop_nonce')
  })

  it('and with them nothing but that token, that method and that URL', async () => {
    const world = await createWorld()
    const agent = await bound(world, await holder())
    const stolen = await proofFor(world, agent)
    const other = await bound(world, agent.key, { jti: 'another token of the same key' })
    expect((await evaluate(world, other.token, stolen, asking('read'))).status).toBe(401)
    const headers = { authorization: `DPoP ${agent.token}`, dpop: stolen }
    expect((await world.send('GET', '/v1/whoami', undefined, { headers })).status).toBe(401)
    expect((await world.post('/access/v1/evaluations', { evaluations: [asking('read')] }, { headers })).status).toBe(
      401,
    )
    expect((await evaluate(world, agent.token, stolen, asking('read'))).status).toBe(200)
  })

  it('and nothing at all once the delegation was taken away', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const stolen = await proofFor(world, child)
    const admin = { token: await world.token({ roles: ['admin'] }) }
    await world.post(`/v1/delegations/${child.id}/revoke`, { reason: 'test' }, admin)
    const ask = { ...refund(1), subject: { type: 'Agent', id: 'helper' } }
    expect((await answerIn(await evaluate(world, child.token, stolen, ask))).context.reason).toBe('revoked')
  })
})

describe('11.7 a proof signs method and URI, and not the body', () => {
  it('so the permit does: a body that was swapped on its way permits nothing that was asked for', async () => {
    const world = await createWorld()
    const agent = await bound(world, await holder())
    const proof = await proofFor(world, agent)
    // Asked: 1. Arrived: 400.
    const { context } = await answerIn(await evaluate(world, agent.token, proof, refund(400)))
    expect(decodeJwt(context.permit ?? '').arguments_hash).toBe(contentHash({ amount: 400 }))
    expect(decodeJwt(context.permit ?? '').arguments_hash).not.toBe(contentHash({ amount: 1 }))
    // And what was asked for is told that its proof was used: the swap doesn't stay unseen.
    const genuine = await evaluate(world, agent.token, proof, refund(1))
    expect((await problemIn(genuine)).reason).toBe('invalid_dpop_proof')
  })

  it('and an Idempotency-Key stands for one body: another one under it is refused, whatever its proof', async () => {
    const world = await createWorld()
    const agent = await bound(world, await holder())
    const key = { 'idempotency-key': 'one' }
    expect((await evaluate(world, agent.token, await proofFor(world, agent), refund(1), key)).status).toBe(200)
    const swapped = await evaluate(world, agent.token, await proofFor(world, agent), refund(400), key)
    expect((await problemIn(swapped)).reason).toBe('idempotency_mismatch')
  })

  it('and at the token endpoint a swapped form gets no more than the subject’s token has', async () => {
    const world = await createWorld()
    const details = [{ ...GRANT, actions: ['refund'], arguments: { amount: { lte: 10 } } }]
    const parent = await delegate(world, await world.agentToken(), { details })
    expect(await refusalOf(delegate(world, parent, { details: [{ ...GRANT, actions: ['read'] }] }))).toBe(
      'grant_widens',
    )
    const wide = await delegate(world, parent, { details: [{ ...GRANT, actions: ['refund'] }] })
    expect(await outcome(world, wide, refund(11))).toBe('outside_grant')
  })
})

describe('11.9 what is exchanged for a token is tied to its key', () => {
  it('a subject’s token of another key is not exchanged with an unrelated one', async () => {
    const world = await createWorld()
    const parent = await bound(world, await holder())
    const thief = await holder()
    const by = (key: Holder) => prove(key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
    for (const attempt of [
      { jkt: thief.jkt },
      { proof: await by(thief) },
      { proof: await by(thief), jkt: thief.jkt },
      { proof: await by(thief), jkt: parent.key.jkt },
    ])
      expect(await (await exchange(world, { subject: parent.token, ...attempt })).json()).toMatchObject({
        error: 'invalid_dpop_proof',
      })
    expect(await world.receipts()).toHaveLength(0)
  })

  it('both tokens of an exchange ask for their keys: one proof is not two', async () => {
    const world = await createWorld()
    const [agent, user] = [await bound(world, await holder()), await holder()]
    const token = await world.token({ cnf: { jkt: user.jkt }, user: { type: 'User', id: 'lea' } })
    for (const key of [agent.key, user]) {
      const proof = await prove(key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
      const response = await exchange(world, { subject: token, actor: agent.token, proof })
      expect(await response.json()).toMatchObject({ error: 'invalid_dpop_proof' })
    }
  })
})

describe('11.10 hash algorithm agility', () => {
  it('a confirmation by another hash is refused, and never taken for none', async () => {
    const world = await createWorld()
    const key = await holder()
    for (const cnf of [{ 'jkt#S512': key.jkt }, { jkt: key.jkt, 'jkt#S512': 'x' }, { 'x5t#S256': key.jkt }, {}]) {
      const odd = await bound(world, key, { cnf })
      expect((await evaluate(world, odd.token, await proofFor(world, odd), asking('read'))).status).toBe(401)
      expect((await world.post(EVALUATION, asking('read'), { token: odd.token })).status).toBe(401)
      const proof = await prove(key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
      expect(await (await exchange(world, { subject: odd.token, proof })).json()).toMatchObject({
        error: 'invalid_grant',
      })
    }
  })

  it('a token’s hash by another algorithm is none', async () => {
    const world = await createWorld()
    const agent = await bound(world, await holder())
    const digest = await crypto.subtle.digest('SHA-512', new TextEncoder().encode(agent.token))
    const long = btoa(String.fromCharCode(...new Uint8Array(digest)))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replaceAll('=', '')
    for (const ath of [long, long.slice(0, 43), sha256(agent.token).toUpperCase(), `sha-256:${sha256(agent.token)}`]) {
      const refused = await evaluate(world, agent.token, await proofFor(world, agent, { ath }), asking('read'))
      expect((await problemIn(refused)).reason).toBe('invalid_dpop_proof')
    }
  })
})

describe('11.11 a key does not say who the client is', () => {
  it('one key in two agents’ tokens serves each for itself alone', async () => {
    const world = await createWorld()
    const key = await holder()
    const clerk = await bound(world, key)
    const helper = await bound(world, key, { agent: { type: 'Agent', id: 'helper' } })
    const asHelper = asking('read', { subject: { type: 'Agent', id: 'helper' } })
    // Neither does the other's proof pass with it, nor may it ask as the other.
    expect((await evaluate(world, helper.token, await proofFor(world, clerk), asHelper)).status).toBe(401)
    const posing = await evaluate(world, clerk.token, await proofFor(world, clerk), asHelper)
    expect((await problemIn(posing)).reason).toBe('subject_mismatch')
    expect((await evaluate(world, helper.token, await proofFor(world, helper), asHelper)).status).toBe(200)
  })

  it('and whoever was given a child’s key is no parent by it', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const parent = await bound(world, await holder())
    const stolen = await sending(world, { ...parent, key: child.key }, EVALUATION)
    expect((await world.post(EVALUATION, asking('read'), stolen)).status).toBe(401)
  })
})

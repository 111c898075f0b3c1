import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Bundle } from '../../src/policy/bundle.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { sign } from '../http/world.ts'
import { ask, at, createTruth, seconds, secretsOf, type TruthWorld, total } from './build.ts'

let world: TruthWorld
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
  token = await world.agentToken()
})

const refunding = (attestations: unknown, more: Record<string, unknown> = {}) =>
  ask('refund', { amount: 5_000 }, { attestations, ...more })

describe('an attestation', () => {
  it('of the highest source stands in for the ledger: no D1 read, and the receipt says where it came from', async () => {
    const isolate = createIsolate()
    // mirror has the same rank as orders, so alone it would have to be compared
    const alone = await createTruth({ change: withoutMirror })
    const agent = await alone.agentToken()
    await alone.evaluate(ask('view'), { token: agent, send: isolate.send })
    isolate.uses()
    const attestation = await alone.attest('orders', [total(9_000)])
    const asked = refunding([attestation], { claims: { orderTotal: 9_000 } })
    const { context } = await alone.evaluate(asked, { token: agent, send: isolate.send })
    expect(context).toMatchObject({
      outcome: 'allow',
      claims: [{ status: 'verified', facts: [{ source: 'orders', from: 'attestation' }] }],
    })
    expect(isolate.uses()).toEqual(['object decide'])
    const [, last] = await secretsOf(alone)
    expect(last?.facts?.value).toMatchObject([{ name: 'orderTotal', facts: [{ from: 'attestation', value: 9_000 }] }])
  })

  it('that contradicts the claim denies it', async () => {
    const asked = refunding([await world.attest('orders', [total(90)])], { claims: { orderTotal: 900 } })
    expect((await world.evaluate(asked, { token })).context.reason).toBe('claim_contradicted')
  })

  it('of a lower source does not hide what a higher one has on record', async () => {
    await world.push('orders', [total(90)])
    const asked = refunding([await world.attest('crm', [total(900_000)])])
    expect((await world.evaluate(asked, { token })).context).toMatchObject({ outcome: 'deny', reason: 'not_permitted' })
  })

  it('says something about what it names alone', async () => {
    const other = total(900_000, { entity: { type: 'Order', id: '8' } })
    const asked = refunding([await world.attest('orders', [other])])
    expect((await world.evaluate(asked, { token })).context.outcome).toBe('defer')
  })

  it('bound to an agent serves that one', async () => {
    const attestation = await world.attest('orders', [total(9_000)], { agent: { type: 'Agent', id: 'clerk' } })
    expect((await world.evaluate(refunding([attestation]), { token })).context.outcome).toBe('allow')
    const stolen = { ...refunding([attestation]), subject: { type: 'Agent', id: 'other' } }
    const { context } = await world.evaluate(stolen, { token: await world.agentToken('other') })
    expect(context).toMatchObject({ reason: 'attestation_refused', problems: [{ code: 'other_agent' }] })
  })
})

describe('refused, and on record', () => {
  const refused = async (attestation: unknown): Promise<string | undefined> => {
    const { decision, context } = await world.evaluate(refunding([attestation]), { token })
    expect(decision).toBe(false)
    expect(context).toMatchObject({ outcome: 'deny', reason: 'attestation_refused', recorded: true })
    const receipts = await world.receipts()
    const { decision: recorded } = JSON.parse(receipts.at(-1)?.body ?? '{}')
    expect(recorded).toMatchObject({ evaluation_id: context.evaluation_id, problems: context.problems })
    return context.problems?.[0]?.code
  }

  it('another audience', async () => {
    const other = await createTruth()
    expect(await refused(await world.attest('orders', [total(9_000)], { aud: other.identifier }))).toBe('audience')
  })

  it("another tenant's source", async () => {
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    const iss = 'https://orders.example'
    const registering = (bundle: Bundle) => {
      bundle.settings.issuers.push({
        id: 'orders-system',
        iss,
        algorithms: ['EdDSA'],
        jwks: { keys: [{ ...jwk, kid }] },
        roles: { allowed: ['source'], claim: 'roles', default: ['source'] },
        source: 'orders',
        skew: 30,
        max_age: 3_600,
      })
    }
    const elsewhere = await createTruth({ change: registering })
    const attest = (aud: string) =>
      sign({ iss, aud, iat: seconds(), exp: seconds() + 300, jti: 'a', facts: [total(9_000)] }, privateKey, {
        typ: 'facts+jwt',
        kid,
      })
    expect(await refused(await attest(world.identifier))).toBe('unknown_issuer')
    // where it is registered, the same is taken
    const taken = refunding([await attest(elsewhere.identifier)])
    const { context } = await elsewhere.evaluate(taken, { token: await elsewhere.agentToken() })
    expect(context.outcome).toBe('allow')
  })

  it('presented after it lapsed', async () => {
    const attestation = await world.attest('orders', [total(9_000)])
    expect((await world.evaluate(refunding([attestation]), { token })).context.outcome).toBe('allow')
    clock.advance(331_000)
    token = await world.agentToken()
    expect(await refused(attestation)).toBe('expired')
  })

  it('a fact in it that lapsed before it did is stale', async () => {
    const attestation = await world.attest('orders', [total(9_000, { valid_until: at(1_000) })])
    clock.advance(2_000)
    expect((await world.evaluate(refunding([attestation]), { token })).context.outcome).toBe('defer')
  })

  it('a predicate, or a type, that its source may not speak of', async () => {
    expect(await refused(await world.attest('orders', [total(9, { predicate: 'risk' })]))).toBe('out_of_scope')
    const customer = total(9, { entity: { type: 'Customer', id: 'c' } })
    expect(await refused(await world.attest('orders', [customer]))).toBe('out_of_scope')
  })

  it('a source that the bundle does not know, or none', async () => {
    expect(await refused(await world.attest('nobody', [total(9_000)]))).toBe('not_a_source')
    expect(await refused(await world.attest('orders', [total(9_000)], { source: undefined }))).toBe('not_a_source')
  })

  it('a changed one, one of another key, one of another type, and what is none', async () => {
    const good = await world.attest('orders', [total(9_000)])
    const [header, , signature] = good.split('.')
    const [, other] = (await world.attest('orders', [total(9_000_000)])).split('.')
    expect(await refused(`${header}.${other}.${signature}`)).toBe('signature')
    const { privateKey } = await generateKeyPair('EdDSA')
    const claims = { iss: 'urn:countersign:development', aud: world.identifier, iat: seconds(), exp: seconds() + 60 }
    const forged = { ...claims, jti: 'x', source: 'orders', facts: [total(9_000)] }
    expect(await refused(await sign(forged, privateKey, { typ: 'facts+jwt' }))).toBe('signature')
    expect(await refused(await sign(forged))).toBe('type')
    expect(await refused(await world.sourceToken('orders'))).toBe('type')
    expect(await refused('x.y.z')).toBe('malformed')
    expect(await refused(await world.attest('orders', []))).toBe('malformed')
    expect(await refused(await world.attest('orders', [total('much')]))).toBe('mistyped')
  })

  it('one good one does not carry a bad one', async () => {
    const good = await world.attest('orders', [total(9_000)])
    const { context } = await world.evaluate(refunding([good, 'x.y.z']), { token })
    expect(context).toMatchObject({
      reason: 'attestation_refused',
      problems: [{ pointer: '/context/attestations/1', code: 'malformed' }],
    })
  })

  it('and an attestation is nobody’s token', async () => {
    const attestation = await world.attest('orders', [total(9_000)], { sub: 'orders', roles: ['source'] })
    const response = await world.post('/v1/facts', { facts: [total(1)] }, { token: attestation })
    expect(response.status).toBe(401)
  })
})

it('attestations that are no list of strings do not fit', async () => {
  for (const attestations of ['x', [1], Array.from({ length: 9 }, () => 'x')]) {
    const { context } = await world.evaluate(refunding(attestations), { token })
    expect(context).toMatchObject({ reason: 'schema_mismatch', problems: [{ pointer: '/context/attestations' }] })
  }
})

const withoutMirror = (bundle: Bundle): void => {
  if (bundle.facts) delete bundle.facts.sources.mirror
}

import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import { type Holder, holder, prove } from '../identity/proofs.ts'
import { asking, createWorld, problemIn, type Send, sign, type World } from './world.ts'

/** Another isolate of the Worker: nothing in memory is shared, the objects are. */
const worker = (): Send => {
  const app = createApp({ now: () => clock.now(), source: createSource() })
  return async request => {
    const context = createExecutionContext()
    const response = await app.fetch(request, env, context)
    await waitOnExecutionContext(context)
    return response
  }
}

const bound = (world: World, key: Holder, claims: Record<string, unknown> = {}): Promise<string> => {
  const now = Math.floor(clock.now() / 1000)
  return sign({
    iss: 'urn:countersign:development',
    sub: 'tester',
    aud: world.identifier,
    iat: now,
    exp: now + 600,
    roles: ['agent'],
    agent: { type: 'Agent', id: 'clerk' },
    cnf: { jkt: key.jkt },
    ...claims,
  })
}

const headers = async (world: World, key: Holder, token: string, path: string, changes = {}) => ({
  authorization: `DPoP ${token}`,
  dpop: await prove(
    key,
    { method: path.startsWith('/v1/receipts') ? 'GET' : 'POST', url: world.identifier + path, now: clock.now(), token },
    changes,
  ),
})

const EVALUATION = '/access/v1/evaluation'

describe('a DPoP proof', () => {
  it('lets one call pass', async () => {
    const world = await createWorld()
    const key = await holder()
    const token = await bound(world, key)
    const answer = await world.evaluate(asking('read'), { headers: await headers(world, key, token, EVALUATION) })
    expect(answer.context.outcome).toBe('allow')
  })

  it('that is replayed 100 times at once over two Workers passes once (RFC 9449, 11.1)', async () => {
    const world = await createWorld()
    const key = await holder()
    const token = await bound(world, key)
    const workers = [worker(), worker()]
    const sending = await headers(world, key, token, EVALUATION)
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        const send = workers[i % 2]
        return world.post(EVALUATION, asking('read'), { headers: sending, ...(send && { send }) })
      }),
    )
    const statuses = responses.map(({ status }) => status)
    expect(statuses.filter(status => status === 200)).toHaveLength(1)
    expect(statuses.filter(status => status === 401)).toHaveLength(99)
    const refused = responses.find(({ status }) => status === 401)
    expect(refused?.headers.get('www-authenticate')).toMatch(/^DPoP error="invalid_dpop_proof", algs="/)
    expect(await world.receipts()).toHaveLength(1)
  })

  it('serves all items of one batch, and no second batch', async () => {
    const world = await createWorld()
    const key = await holder()
    const token = await bound(world, key)
    const sending = { headers: await headers(world, key, token, '/access/v1/evaluations') }
    const batch = {
      evaluations: [asking('read'), { action: { name: 'read' } }, asking('read')],
      options: { evaluations_semantic: 'deny_on_first_deny' },
    }
    const whole = { ...batch, evaluations: [asking('read'), asking('read')] }
    expect((await world.evaluateAll(whole, sending)).map(({ decision }) => decision)).toEqual([true, true])
    expect((await problemIn(await world.post('/access/v1/evaluations', batch, sending))).reason).toBe(
      'invalid_dpop_proof',
    )
  })

  it('of a PEP is remembered whoever it asks about, and of an auditor too', async () => {
    const world = await createWorld()
    const key = await holder()
    const pep = await bound(world, key, { roles: ['pep'], agent: undefined })
    const sending = { headers: await headers(world, key, pep, EVALUATION) }
    expect((await world.post(EVALUATION, asking('read'), sending)).status).toBe(200)
    const other = asking('read', { subject: { type: 'Agent', id: 'helper' } })
    expect((await problemIn(await world.post(EVALUATION, other, sending))).reason).toBe('invalid_dpop_proof')

    const auditor = await bound(world, key, { roles: ['auditor'], agent: undefined })
    const reading = { headers: await headers(world, key, auditor, '/v1/receipts') }
    expect((await world.send('GET', '/v1/receipts', undefined, reading)).status).toBe(200)
    expect((await problemIn(await world.send('GET', '/v1/receipts', undefined, reading))).reason).toBe(
      'invalid_dpop_proof',
    )
  })

  it('is for the public origin, whatever host the call came by', async () => {
    const world = await createWorld()
    const key = await holder()
    const token = await bound(world, key)
    const internal = `https://internal.example/${world.tenant}${EVALUATION}`
    const right = await headers(world, key, token, EVALUATION)
    expect((await world.post(internal, asking('read'), { headers: right })).status).toBe(200)
    const wrong = await headers(world, key, token, EVALUATION, { claims: { htu: internal } })
    expect((await world.post(internal, asking('read'), { headers: wrong })).status).toBe(401)
  })

  it('needs one of our nonces where the issuer’s entry demands it, and is told which', async () => {
    const world = await createWorld({
      change: bundle => {
        for (const issuer of bundle.settings.issuers) issuer.dpop = 'nonce'
      },
    })
    const key = await holder()
    const token = await bound(world, key)
    const first = await world.post(EVALUATION, asking('read'), {
      headers: await headers(world, key, token, EVALUATION),
    })
    const nonce = first.headers.get('dpop-nonce')
    expect(first.headers.get('www-authenticate')).toContain('error="use_dpop_nonce"')
    expect((await problemIn(first)).reason).toBe('use_dpop_nonce')
    const second = await headers(world, key, token, EVALUATION, { claims: { nonce } })
    expect((await world.post(EVALUATION, asking('read'), { headers: second })).status).toBe(200)
  })
})

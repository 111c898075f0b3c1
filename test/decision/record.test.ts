import { env } from 'cloudflare:workers'
import {
  base64url,
  createLocalJWKSet,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  jwtVerify,
} from 'jose'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { StoredReceipt } from '../../src/audit/receipt.ts'
import { agentName } from '../../src/decision/prepare.ts'
import { nameOf } from '../../src/durable/names.ts'
import { clock } from '../clock.ts'
import { asking, createWorld, refund, type World } from '../http/world.ts'
import { createIsolate } from './isolate.ts'
import { jcs, sha256 } from './jcs.ts'

/** What a decision leaves: the permit, for the tool, and the receipt, on record. */

let world: World
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
})

const keySet = async (path = '/.well-known/jwks.json') => {
  const response = await world.send('GET', path, undefined)
  expect(response.status).toBe(200)
  return response.json<JSONWebKeySet>()
}

describe('a permit', () => {
  const order = { type: 'Order', id: '7' }
  const args = { amount: 5, tags: ['é', '"', '😀'], rate: '0.50', 'odd/na~me': { deep: true } }
  const ask = {
    ...asking('refund'),
    action: { name: 'refund', properties: args },
    resource: { ...order, properties: { status: 'x' } },
  }

  it('is verified with the published keys, and says exactly what was decided', async () => {
    const lea = { type: 'User', id: 'lea' }
    const helper = { type: 'Agent', id: 'helper' }
    const token = await world.agentToken('clerk', { user: lea, chain: [{ type: 'Agent', id: 'helper' }] })
    const { context } = await world.evaluate(ask, { token })
    const keys = createLocalJWKSet(await keySet())
    const { payload, protectedHeader } = await jwtVerify(context.permit ?? '', keys, {
      issuer: world.identifier,
      typ: 'permit+jwt',
      currentDate: new Date(clock.now()),
    })
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'permit+jwt', kid: expect.any(String) })
    const at = Math.floor(Date.parse(context.evaluated_at) / 1000)
    const clerk = { type: 'Agent', id: 'clerk' }
    const named = { tenant: world.tenant, chain: [clerk, helper], user: lea, action: 'refund', resource: order }
    expect(payload).toEqual({
      iss: world.identifier,
      sub: 'Agent::"clerk"',
      jti: context.evaluation_id,
      iat: at,
      exp: at + 60,
      agent: clerk,
      chain: [helper],
      user: lea,
      action: 'refund',
      resource: order,
      arguments_hash: await sha256(jcs(args)),
      action_hash: await sha256(jcs({ ...named, arguments: args })),
      bundle: world.first.hash,
    })
  })

  it('without user and delegation it names neither', async () => {
    const { context } = await world.evaluate(asking('read'), { token: await world.agentToken() })
    const { payload } = await jwtVerify(context.permit ?? '', createLocalJWKSet(await keySet()))
    expect(payload).toMatchObject({ chain: [], arguments_hash: await sha256('{}') })
    expect(payload).not.toHaveProperty('user')
  })

  it('of a PEP names whom it asked about', async () => {
    const subject = { type: 'User', id: 'lea', properties: { vip: true } }
    const { context } = await world.evaluate(asking('read', { subject }), { token: await world.pepToken() })
    const { payload } = await jwtVerify(context.permit ?? '', createLocalJWKSet(await keySet()))
    expect(payload).toMatchObject({ sub: 'User::"lea"', agent: { type: 'User', id: 'lea' } })
  })

  it('lapses after a minute', async () => {
    const { context } = await world.evaluate(asking('read'), { token: await world.agentToken() })
    const later = new Date(clock.now() + 60_000)
    await expect(
      jwtVerify(context.permit ?? '', createLocalJWKSet(await keySet()), { currentDate: later }),
    ).rejects.toThrow('exp')
  })

  it('comes with what is allowed, and with nothing else', async () => {
    const token = await world.agentToken()
    for (const denied of [refund(501), asking('export'), asking('fly'), refund('x')])
      expect((await world.evaluate(denied, { token })).context).not.toHaveProperty('permit')
  })

  it('the keys are public halves, each with its thumbprint as kid, also the next one', async () => {
    const { keys } = await keySet()
    expect(keys).toHaveLength(2)
    for (const key of keys) {
      expect(Object.keys(key).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
      expect(key.kid).toBe(await sha256(jcs({ crv: key.crv, kty: key.kty, x: key.x })))
    }
    const { context } = await world.evaluate(asking('read'), { token: await world.agentToken() })
    expect(decodeProtectedHeader(context.permit ?? '').kid).toBe(keys[0]?.kid)
    expect(await keySet(`${env.ORIGIN}/.well-known/jwks.json`)).toEqual({ keys })
  })
})

describe('receipts', () => {
  const verified = async (name: string, receipts: StoredReceipt[]) => {
    let prev = '-'
    for (const [index, receipt] of receipts.entries()) {
      const { seq, kind, at, bodyCommit, hash, body } = receipt
      expect(seq).toBe(index + 1)
      expect(receipt.prev).toBe(prev)
      expect(bodyCommit).toBe(await sha256(body))
      expect(body).toBe(jcs(JSON.parse(body)))
      expect(hash).toBe(await sha256(jcs({ v: 1, chain: name, seq, prev, kind, at, bodyCommit })))
      const committed = JSON.parse(body)
      for (const [member, { salt, value }] of Object.entries<{ salt: string; value: unknown }>(
        JSON.parse(receipt.secrets),
      )) {
        expect(base64url.decode(salt)).toHaveLength(16)
        expect(committed[member]).toBe(await sha256(jcs([salt, value])))
      }
      prev = hash
    }
  }

  it('of a sequence of decisions of every kind are one chain, each with what was answered', async () => {
    const token = await world.agentToken('clerk', { sid: 's-1' })
    const asks = [
      asking('read'),
      refund(501),
      refund('x'),
      asking('fly'),
      asking('ping'),
      asking('ping'),
      asking('ping'),
      asking('ping'),
    ]
    const answers = []
    for (const ask of asks) answers.push(await world.evaluate(ask, { token }))
    await world
      .object()
      .suspend({ v: 1, tenant: world.tenant, agent: 'Agent::"clerk"', by: 'root', reason: 'r', at: clock.now() })
    answers.push(await world.evaluate(asking('read'), { token }))
    const receipts = await world.receipts()
    await verified(agentName(world.tenant, { type: 'Agent', id: 'clerk' }), receipts)
    const decisions = receipts.filter(({ kind }) => kind === 'decision').map(({ body }) => JSON.parse(body))
    expect(decisions).toHaveLength(9)
    for (const [index, { context }] of answers.entries()) {
      expect(decisions[index]).toMatchObject({
        agent: { type: 'Agent', id: 'clerk' },
        session: 's-1',
        roles: ['agent'],
        issuer: 'development',
        decision: {
          evaluation_id: context.evaluation_id,
          outcome: context.outcome,
          reason: context.reason,
          bundle: { seq: 1, hash: world.first.hash },
          ...(context.retry_after !== undefined && { retry_after: context.retry_after }),
        },
      })
    }
  })

  it('on the unattributed chains are chains as well', async () => {
    const token = await world.agentToken('ghost')
    for (let times = 0; times < 3; times++)
      await world.evaluate(asking('read', { subject: { type: 'Agent', id: 'ghost' } }), { token })
    for (const chain of ['0', '1', '2', '3']) {
      const name = nameOf('unattributed', world.tenant, chain)
      await verified(name, await env.AGENT.getByName(name).receipts({ after: 0, limit: 100 }))
    }
  })

  it('hold what may be personal as commitments alone, with salt and value beside', async () => {
    const user = { type: 'User', id: 'lea' }
    const agent = await world.agentToken('clerk', { sub: 'secret-sub', user })
    const properties = { amount: 77_777, tags: ['secret-tag'] }
    const action = { name: 'refund', properties }
    await world.evaluate(
      { ...asking('refund'), action, resource: { type: 'Order', id: 'secret-order' } },
      { token: agent },
    )
    const resource = { type: 'Order', id: 'secret-order', properties: { status: 'secret-status' } }
    await world.evaluate(
      { ...asking('refund'), action, resource, context: { note: 'secret-note' } },
      { token: await world.pepToken() },
    )
    const [first, second] = await world.receipts()
    for (const receipt of [first, second]) {
      expect(receipt?.body).not.toMatch(/secret-|77777|lea/)
      const secrets = JSON.parse(receipt?.secrets ?? '')
      expect(secrets).toMatchObject({
        arguments: { value: properties },
        resource: { value: { type: 'Order', id: 'secret-order' } },
      })
      expect(receipt?.body).not.toContain(await sha256(jcs(properties)))
      expect(receipt?.body).not.toContain(secrets.action_hash.value)
    }
    expect(JSON.parse(first?.secrets ?? '')).toMatchObject({ user: { value: user } })
    expect(JSON.parse(second?.secrets ?? '')).toMatchObject({
      asserted: { value: { resource: { status: 'secret-status' }, context: { note: 'secret-note' } } },
    })
  })

  it('carry the X-Request-ID of their request, of each item of a batch too', async () => {
    const headers = { 'x-request-id': 'trace-7' }
    await world.evaluateAll({ ...asking('read'), evaluations: [{}, {}] }, { token: await world.agentToken(), headers })
    expect((await world.receipts()).map(({ body }) => JSON.parse(body).request_id)).toEqual(['trace-7', 'trace-7'])
  })

  it('never go back in time, though isolates differ about it', async () => {
    const token = await world.agentToken()
    await world.evaluate(asking('read'), { token })
    clock.advance(-20_000)
    const answer = await world.evaluate(asking('read'), { token })
    const [first, second] = await world.receipts()
    expect(second?.at).toBe(first?.at)
    expect(Date.parse(answer.context.evaluated_at)).toBe(first?.at)
  })
})

describe('keys that change', () => {
  let other: string
  beforeAll(async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const { kty, crv, x, y, d } = await exportJWK(privateKey)
    other = JSON.stringify({
      keys: [{ kty, crv, x, y, d }, ...JSON.parse(env.SIGNING_KEYS).keys.map(({ d: _, ...key }: { d: string }) => key)],
    })
  })

  it('a permit signed before is verified by the keys published after', async () => {
    const token = await world.agentToken()
    const before = (await world.evaluate(asking('read'), { token })).context.permit ?? ''
    const isolate = createIsolate({}, { SIGNING_KEYS: other })
    const after = (await world.evaluate(asking('read'), { token, send: isolate.send })).context.permit ?? ''
    const response = await world.send('GET', '/.well-known/jwks.json', undefined, { send: isolate.send })
    const keys = createLocalJWKSet(await response.json<JSONWebKeySet>())
    expect((await jwtVerify(before, keys)).protectedHeader.alg).toBe('EdDSA')
    expect((await jwtVerify(after, keys)).protectedHeader.alg).toBe('ES256')
  })
})

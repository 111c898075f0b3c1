import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { agentName } from '../../src/decision/prepare.ts'
import { nameOf } from '../../src/durable/names.ts'
import type { Privacy } from '../../src/policy/tenant.ts'
import { wrongLinks } from '../audit/verify.ts'
import { clock } from '../clock.ts'
import { createWorld, refund, type World } from '../http/world.ts'
import { delegate, outcome, refusalOf } from './delegating.ts'
import { CAEP, push, subject, transmitting } from './transmitting.ts'

afterEach(() => clock.reset())

const LEA = { type: 'User', id: 'lea' }
const helper = (amount: number) => ({ ...refund(amount), subject: { type: 'Agent', id: 'helper' } })
const personal: Privacy = { personal: [{ of: 'user', types: ['User'], fields: ['user', 'caller'] }] }

const admin = async (world: World, path: string, body: Record<string, unknown> = {}) => {
  const token = await world.token({ roles: ['admin'], sub: 'root' })
  const response = await world.post(path, { reason: 'left open', ...body }, { token })
  return { status: response.status, ...(await response.json<Record<string, unknown>>()) }
}

/** What stands on a chain, which must verify from its beginning; what was sealed shows no salt to verify by. */
const onChain = async (name: string, { sealed = false } = {}) => {
  const receipts = await env.AGENT.getByName(name).receipts({ after: 0, limit: 1000 })
  if (!sealed) expect(wrongLinks(name, receipts)).toEqual([])
  return receipts.map(({ kind, body, secrets }) => ({ kind, body: JSON.parse(body), secrets: JSON.parse(secrets) }))
}
const chainOf = (world: World, id: string, type = 'Agent') => onChain(agentName(world.tenant, { type, id }))
const recordChain = (world: World) => nameOf('unattributed', world.tenant, 'record')

describe('the record of what was taken away', () => {
  it('names the delegation that was revoked, all that came from it, who did it and why; and that it was given back', async () => {
    const world = await createWorld()
    const top = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const below = await delegate(world, top, { agent: 'clerk' })
    await admin(world, `/v1/delegations/${top.id}/revoke`)
    expect(await outcome(world, top, helper(1))).toBe('revoked')
    expect(await admin(world, `/v1/delegations/${top.id}/restore`, { reason: 'a mistake' })).toMatchObject({
      changed: true,
    })
    clock.advance(16_000)
    await outcome(world, top, helper(1))
    expect(await outcome(world, top, helper(1))).toBe('permitted')
    // Nothing is left to give back.
    expect(await admin(world, `/v1/delegations/${top.id}/restore`)).toMatchObject({ changed: false })
    expect(await admin(world, '/v1/delegations/nothing/restore')).toMatchObject({ status: 404 })

    const noted = (await chainOf(world, 'helper')).filter(({ kind }) => /revocation|restoration/.test(kind))
    expect(noted).toMatchObject([
      {
        kind: 'revocation',
        body: {
          agent: 'Agent::"helper"',
          revocation: { delegation: top.id, told: 2, delegations: [top.id, below.id].sort() },
        },
        secrets: { reason: { value: 'left open' }, caller: { value: 'development:root' } },
      },
      {
        kind: 'restoration',
        body: { restoration: { delegation: top.id } },
        secrets: { reason: { value: 'a mistake' } },
      },
    ])
  })

  it('restoring leaves taken what was taken above it', async () => {
    const world = await createWorld()
    const top = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const below = await delegate(world, top, { agent: 'clerk' })
    await admin(world, `/v1/delegations/${top.id}/revoke`)
    await admin(world, `/v1/delegations/${below.id}/revoke`)
    await admin(world, `/v1/delegations/${below.id}/restore`)
    clock.advance(16_000)
    await outcome(world, below, refund(1))
    expect(await outcome(world, below, refund(1))).toBe('revoked')
  })

  it('says which security event came, from whom, about whom and what it took, once however often it comes', async () => {
    const world = await transmitting()
    const actor = await world.agentToken()
    const taken = await delegate(world, await world.token({ user: LEA }), { actor })
    await delegate(world, actor, { agent: 'helper' })
    const event = { jti: 'set-1' }
    for (let times = 0; times < 3; times++) expect((await push(world, event)).status).toBe(202)
    const noted = await chainOf(world, 'lea', 'User')
    expect(noted).toMatchObject([
      {
        kind: 'security_event',
        body: {
          agent: 'User::"lea"',
          security_event: { issuer: 'ssf', event: `${CAEP}/session-revoked`, delegations: [taken.id], told: 2 },
        },
        secrets: { caller: { value: 'events:ssf' } },
      },
    ])
    expect(noted[0]?.body.security_event.before).toBeLessThanOrEqual(clock.now())
    await push(world, { jti: 'set-2', sub_id: subject('clerk') })
    const own = await chainOf(world, 'clerk')
    expect(own.at(-1)).toMatchObject({ kind: 'security_event', body: { agent: 'Agent::"clerk"' } })
  })

  it('an event that was kept for days takes nothing, and leaves nothing', async () => {
    const world = await transmitting()
    const old = Math.floor(clock.now() / 1000) - 3 * 86_400
    const events = { [`${CAEP}/session-revoked`]: { event_timestamp: old } }
    expect((await push(world, { events, iat: old })).status).toBe(202)
    expect(await chainOf(world, 'lea', 'User')).toEqual([])
  })
})

describe('resuming', () => {
  it('gives back what was suspended, and what security events took only where that is said', async () => {
    const world = await transmitting()
    const actor = await world.agentToken()
    const lea = await delegate(world, await world.token({ user: LEA }), { actor })
    await push(world)
    await admin(world, '/v1/agents/User/lea/suspend')
    expect(await outcome(world, lea, refund(1))).toBe('revoked')

    const settled = async (): Promise<string> => {
      clock.advance(16_000)
      await outcome(world, lea, refund(1))
      return outcome(world, lea, refund(1))
    }
    expect(await admin(world, '/v1/agents/User/lea/resume')).toMatchObject({ suspended: false, descendants: 1 })
    expect(await settled()).toBe('revoked')
    expect(await refusalOf(delegate(world, lea, { agent: 'helper' }))).toBe('revoked')
    // What was issued after the event is not meant.
    const later = await delegate(world, await world.token({ user: LEA }), { actor: await world.agentToken() })
    expect(await outcome(world, later, refund(1))).toBe('permitted')

    expect(await admin(world, '/v1/agents/User/lea/resume', { lift_events: true })).toMatchObject({
      changed: false,
      events_lifted: true,
    })
    expect(await settled()).toBe('permitted')
    expect(await admin(world, '/v1/agents/User/lea/resume', { lift_events: true })).toMatchObject({
      events_lifted: false,
    })
    const kinds = (await chainOf(world, 'lea', 'User')).map(({ kind }) => kind)
    expect(kinds).toEqual(['security_event', 'suspension', 'resumption', 'restoration'])
  })

  it('of an agent gives back what an event took of its own tokens', async () => {
    const world = await transmitting()
    const token = await world.agentToken()
    await push(world, { sub_id: subject('clerk') })
    expect((await world.evaluate(refund(1), { token })).context.reason).toBe('revoked')
    await admin(world, '/v1/agents/Agent/clerk/resume')
    expect((await world.evaluate(refund(1), { token })).context.reason).toBe('revoked')
    await admin(world, '/v1/agents/Agent/clerk/resume', { lift_events: true })
    expect((await world.evaluate(refund(1), { token })).context.reason).toBe('permitted')
  })

  it('an event that comes while all is suspended still holds when that ends', async () => {
    const world = await transmitting()
    const lea = await delegate(world, await world.token({ user: LEA }), { actor: await world.agentToken() })
    await admin(world, '/v1/agents/User/lea/suspend')
    await push(world)
    await admin(world, '/v1/agents/User/lea/resume')
    clock.advance(16_000)
    await outcome(world, lea, refund(1))
    expect(await outcome(world, lea, refund(1))).toBe('revoked')
  })
})

describe('a user whom the tenant marks as personal', () => {
  const rows = async (world: World): Promise<string> => {
    const read = (table: string) => env.DB.prepare(`SELECT * FROM ${table} WHERE tenant = ?`).bind(world.tenant).all()
    return JSON.stringify([(await read('delegations')).results, (await read('revocations')).results])
  }
  const tree = async (world: World) => {
    const token = await world.token({ roles: ['auditor'] })
    return (await world.send('GET', '/v1/delegations', undefined, { token })).json<{
      delegations: { user?: string }[]
    }>()
  }

  it('stands in no table of delegations by name, is shown to auditors, and can be erased', async () => {
    const world = await transmitting({ privacy: personal })
    const lea = await delegate(world, await world.token({ user: LEA }), { actor: await world.agentToken() })
    expect(await rows(world)).not.toContain('lea')
    expect((await tree(world)).delegations).toMatchObject([{ id: lea.id, user: 'User::"lea"' }])

    expect(await admin(world, '/v1/erasures', { subject: LEA })).toMatchObject({ status: 200 })
    const [shown] = (await tree(world)).delegations
    expect(shown).toMatchObject({ id: lea.id })
    expect(shown).not.toHaveProperty('user')
    // It is still hers: what is left of it can be taken away.
    await admin(world, '/v1/agents/User/lea/suspend', { reason: 'Lea asked for it' })
    expect(await outcome(world, lea, refund(1))).toBe('revoked')
    // Why it was, goes with her as well.
    expect(await rows(world)).toContain('Lea')
    await admin(world, '/v1/erasures', { subject: LEA })
    expect(await rows(world)).not.toMatch(/lea/i)
    expect(await outcome(world, lea, refund(1))).toBe('revoked')
  })

  it('is taken away as any other, by admins and by events, also for tokens of other issuers', async () => {
    const world = await transmitting({ privacy: personal })
    const actor = await world.agentToken()
    const first = await delegate(world, await world.token({ user: LEA }), { actor })
    const acting = await world.agentToken('clerk', { user: LEA })
    expect((await world.evaluate(refund(1), { token: acting })).decision).toBe(true)
    await push(world)
    expect(await outcome(world, first, refund(1))).toBe('revoked')
    clock.advance(16_000)
    await world.evaluate(refund(1), { token: acting })
    expect((await world.evaluate(refund(1), { token: acting })).context.reason).toBe('revoked')
    await admin(world, '/v1/agents/User/lea/resume', { lift_events: true })
    clock.advance(16_000)
    await world.evaluate(refund(1), { token: acting })
    expect((await world.evaluate(refund(1), { token: acting })).decision).toBe(true)
    expect(await outcome(world, first, refund(1))).toBe('permitted')
    expect(await refusalOf(delegate(world, await world.token({ user: LEA }), { actor }))).toBe('delegated')
  })

  it('is on the tenant’s own chain of record where an event takes something, and can be erased there', async () => {
    const world = await transmitting({ privacy: personal })
    await delegate(world, await world.token({ user: LEA }), { actor: await world.agentToken() })
    await push(world)
    const [noted] = await onChain(recordChain(world), { sealed: true })
    expect(noted).toMatchObject({ kind: 'security_event', secrets: { user: { sealed: expect.any(String) } } })
    expect(JSON.stringify(noted)).not.toContain('lea')
    clock.advance(3_000)
    await runDurableObjectAlarm(env.AGENT.getByName(recordChain(world)))
    const find = async () => {
      const token = await world.token({ roles: ['auditor'] })
      const path = `/v1/receipts?user=${encodeURIComponent('User::"lea"')}`
      const { receipts } = await (await world.send('GET', path, undefined, { token })).json<{
        receipts: { kind: string }[]
      }>()
      return receipts.map(({ kind }) => kind)
    }
    expect(await find()).toContain('security_event')
    await admin(world, '/v1/erasures', { subject: LEA })
    expect(await find()).toEqual([])
  })
})

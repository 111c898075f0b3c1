import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { createWorld, problemIn, type Send, type World } from './world.ts'

const view = (id = 'clerk', context?: Record<string, unknown>) => ({
  subject: { type: 'Agent', id },
  action: { name: 'view' },
  resource: { type: 'Account', id: 'a1' },
  ...(context && { context }),
})
const wire = { ...view(), action: { name: 'wire', properties: { amount: 1 } } }

const adminOf = async (world: World) => ({ token: await world.token({ sub: 'root', roles: ['admin'] }) })
const kill = async (world: World, target: unknown, more: Record<string, unknown> = {}, path = '/v1/kills') => {
  const response = await world.post(path, { target, reason: 'incident 7', ...more }, await adminOf(world))
  expect(response.status).toBe(200)
  return (await response.json()) as { seq: number; changed: boolean; told: number }
}

describe('a kill switch', () => {
  it.each([
    ['the tenant', { kind: 'tenant' }],
    ['the agent', { kind: 'agent', type: 'Agent', id: 'clerk' }],
    ['its group', { kind: 'group', type: 'Team', id: 'desk' }],
    ['its user', { kind: 'user', type: 'User', id: 'lea' }],
    ['its session', { kind: 'session', id: 's1' }],
    ['the action', { kind: 'action', id: 'view' }],
  ])('stops %s on the next decision of an object that was told, and lets it go on', async (_, target) => {
    const world = await createWorld({ folder: 'bank' })
    const token = await world.agentToken('clerk', { sid: 's1', user: { type: 'User', id: 'lea' } })
    const decide = async () => (await world.evaluate(view(), { token })).context
    expect(await decide()).toMatchObject({ outcome: 'allow' })
    const agent = { type: 'Agent', id: 'clerk' }
    expect(await kill(world, target, { agent })).toMatchObject({ seq: 1, changed: true, told: 1 })
    expect(await decide()).toMatchObject({ outcome: 'deny', reason: 'killed', recorded: true })
    expect(await kill(world, target, { agent })).toMatchObject({ seq: 1, changed: false })
    await kill(world, target, { agent }, '/v1/kills/lift')
    expect(await decide()).toMatchObject({ outcome: 'allow' })
  })

  it('stops nothing else', async () => {
    const world = await createWorld({ folder: 'bank' })
    const agent = { type: 'Agent', id: 'clerk' }
    for (const target of [
      { kind: 'agent', type: 'Agent', id: 'helper' },
      { kind: 'agent', type: 'User', id: 'clerk' },
      { kind: 'session', id: 's2' },
      { kind: 'user', type: 'User', id: 'lea' },
      { kind: 'action', id: 'wire' },
      { kind: 'tool', id: 'view' },
    ]) {
      await kill(world, target, { agent })
    }
    const token = await world.agentToken('clerk', { sid: 's1' })
    expect((await world.evaluate(view(), { token })).context.outcome).toBe('allow')
  })

  it('stops a tool by the name that its gateway gives it', async () => {
    const world = await createWorld({ folder: 'bank' })
    const token = await world.pepToken()
    const through = async (tool: string) => (await world.evaluate(view('clerk', { tool }), { token })).context.reason
    await kill(world, { kind: 'tool', id: 'mcp-bank' }, { agent: { type: 'Agent', id: 'clerk' } })
    expect(await through('mcp-bank')).toBe('killed')
    expect(await through('mcp-mail')).toBe('permitted')
  })

  it('reaches objects that nobody told through the document beside the pointer', async () => {
    const world = await createWorld({ folder: 'bank' })
    await kill(world, { kind: 'action', id: 'view' })
    const keeper = env.AGENT.getByName(nameOf('kills', world.tenant))
    while (await runDurableObjectAlarm(keeper)) {
      if (await env.BUNDLES.get(nameOf('epoch', world.tenant))) break
    }
    const app = createApp({ now: clock.now, source: createSource() })
    const send = async (request: Request) =>
      app.fetch(request, env, { waitUntil: () => {}, passThroughOnException: () => {}, props: {} })
    const token = await world.agentToken('helper')
    expect((await world.evaluate(view('helper'), { token, send })).context).toMatchObject({ reason: 'killed' })
  })

  it('reaches whom it names where the record is out of reach', async () => {
    const world = await createWorld({ folder: 'bank' })
    const token = await world.agentToken()
    const reasonOf = async () => (await world.evaluate(view(), { token })).context.reason
    expect(await reasonOf()).toBe('permitted')
    const app = createApp({ now: clock.now, source: createSource() })
    const DB = new Proxy(env.DB, {
      get: () => () => {
        throw new Error('D1 is cut off')
      },
    })
    const send = async (request: Request) =>
      app.fetch(request, { ...env, DB }, { waitUntil: () => {}, passThroughOnException: () => {}, props: {} })
    const body = { target: { kind: 'agent', type: 'Agent', id: 'clerk' }, reason: 'incident 7' }
    const response = await world.post('/v1/kills', body, { ...(await adminOf(world)), send })
    expect(await response.json()).toMatchObject({ seq: 1, changed: true, told: 1 })
    expect(await reasonOf()).toBe('killed')
  })

  it('is on record with who and why, and listed', async () => {
    const world = await createWorld({ folder: 'bank' })
    await kill(world, { kind: 'user', type: 'User', id: 'lea' })
    const listed = await world.send('GET', '/v1/kills', undefined, await adminOf(world))
    expect(await listed.json()).toMatchObject({
      seq: 1,
      kills: [{ target: 'user User::"lea"', by: 'development:root', reason: 'incident 7' }],
    })
    const [receipt] = await env.AGENT.getByName(nameOf('kills', world.tenant)).receipts({ after: 0, limit: 9 })
    expect(receipt?.kind).toBe('kill')
    expect(receipt?.body).not.toContain('incident')
    expect(JSON.parse(receipt?.secrets ?? '')).toMatchObject({
      reason: { value: 'incident 7' },
      target: { value: 'user User::"lea"' },
      caller: { value: 'development:root' },
    })
  })

  it('has room for a thousand, and for that of the whole tenant always', async () => {
    const world = await createWorld({ folder: 'bank' })
    const keeper = env.AGENT.getByName(nameOf('kills', world.tenant))
    const targets = Array.from({ length: 1_000 }, (_, n) => `["session","s${n}"]`)
    await keeper.learn({ v: 1, seq: 1_000, targets })
    const one = { target: { kind: 'session', id: 'one more' }, reason: 'r' }
    const refused = await world.post('/v1/kills', one, await adminOf(world))
    expect(await problemIn(refused)).toMatchObject({ status: 409, reason: 'too_many_kills' })
    expect(await kill(world, { kind: 'tenant' })).toMatchObject({ seq: 1_001, changed: true })
    await kill(world, { kind: 'session', id: 's7' }, {}, '/v1/kills/lift')
    await kill(world, { kind: 'session', id: 's8' }, {}, '/v1/kills/lift')
    expect(await kill(world, one.target)).toMatchObject({ changed: true })
  })

  it('that is set again is written again: KV may have lost it', async () => {
    const world = await createWorld({ folder: 'bank' })
    const key = nameOf('epoch', world.tenant)
    const published = async () => {
      const keeper = env.AGENT.getByName(nameOf('kills', world.tenant))
      for (let fired = 0; fired < 5; fired++) {
        await runDurableObjectAlarm(keeper)
        if (await env.BUNDLES.get(key)) return true
      }
      return false
    }
    await kill(world, { kind: 'tenant' })
    expect(await published()).toBe(true)
    await env.BUNDLES.delete(key)
    expect(await kill(world, { kind: 'tenant' })).toMatchObject({ changed: false })
    expect(await published()).toBe(true)
  })

  it('is for admins, and refuses what it cannot name', async () => {
    const world = await createWorld({ folder: 'bank' })
    const body = { target: { kind: 'tenant' }, reason: 'r' }
    const pep = { token: await world.pepToken() }
    expect(await problemIn(await world.post('/v1/kills', body, pep))).toMatchObject({ status: 403 })
    for (const target of [{ kind: 'planet' }, { kind: 'user', id: 'lea' }, { kind: 'session' }, 'tenant']) {
      const response = await world.post('/v1/kills', { target, reason: 'r' }, await adminOf(world))
      expect(await problemIn(response)).toMatchObject({ status: 400, reason: 'malformed_request' })
    }
  })

  it('that is misspelt is refused, since it would stop nothing', async () => {
    const world = await createWorld({ folder: 'bank' })
    for (const [target, pointer] of [
      [{ kind: 'action', id: 'wier' }, '/target/id'],
      [{ kind: 'agent', type: 'Agnet', id: 'clerk' }, '/target/type'],
      [{ kind: 'group', type: 'Taem', id: 'desk' }, '/target/type'],
    ] as const) {
      const response = await world.post('/v1/kills', { target, reason: 'r' }, await adminOf(world))
      expect(await problemIn(response)).toMatchObject({ status: 400, reason: 'malformed_request', pointer })
      const lifted = await world.post('/v1/kills/lift', { target, reason: 'r' }, await adminOf(world))
      expect(await lifted.json()).toMatchObject({ changed: false })
    }
  })
})

describe('a permit of a redeem-only action', () => {
  const wired = async (world: World) => {
    const token = await world.agentToken()
    await world.evaluate(view(), { token })
    const { permit = '' } = (await world.evaluate(wire, { token })).context
    return permit
  }
  const redeem = async (world: World, permit: string) =>
    world.post('/v1/permits/redeem', { permit }, { token: await world.pepToken() })

  it('says so, and is redeemed once', async () => {
    const world = await createWorld({ folder: 'bank' })
    const permit = await wired(world)
    expect(JSON.parse(atob((permit.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')))).toMatchObject({
      redeem: true,
    })
    const responses = await Promise.all(Array.from({ length: 10 }, () => redeem(world, permit)))
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(1)
    const refused = responses.find(({ status }) => status !== 200)
    expect(refused && (await problemIn(refused))).toMatchObject({ status: 409, reason: 'permit_redeemed' })
    const receipts = await world.receipts()
    expect(JSON.parse(receipts[2]?.body ?? '')).toMatchObject({ of: { seq: 2, hash: receipts[1]?.hash } })
    expect(receipts[2]?.kind).toBe('redemption')
  })

  it('is so for a retry as well, whatever was pushed meanwhile', async () => {
    const world = await createWorld({ folder: 'bank' })
    const token = await world.agentToken()
    await world.evaluate(view(), { token })
    const headers = { 'idempotency-key': 'k1' }
    const permitAt = async ({ send }: { send: Send }) =>
      (await world.evaluate(wire, { token, headers, send })).context.permit
    const first = await permitAt(createIsolate())
    await world.push(bundle => {
      bundle.settings.redeem_only = []
    })
    expect(await permitAt(createIsolate())).toBe(first)
  })

  it('of a suspended or killed agent is refused at once, and stands in the list of what is out', async () => {
    const world = await createWorld({ folder: 'bank' })
    const permit = await wired(world)
    const admin = await adminOf(world)
    await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'r' }, admin)
    expect(await problemIn(await redeem(world, permit))).toMatchObject({ status: 409, reason: 'suspended' })
    const status = await world.send('GET', '/v1/agents/Agent/clerk', undefined, admin)
    expect(((await status.json()) as { permits: unknown[] }).permits).toHaveLength(2)
    await world.post('/v1/agents/Agent/clerk/resume', { reason: 'r' }, admin)
    await kill(world, { kind: 'action', id: 'wire' }, { agent: { type: 'Agent', id: 'clerk' } })
    expect(await problemIn(await redeem(world, permit))).toMatchObject({ status: 409, reason: 'killed' })
  })

  it('is refused where it is none of ours, another kind of token, or needs no redemption', async () => {
    const world = await createWorld({ folder: 'bank' })
    const other = await createWorld({ folder: 'bank' })
    const permit = await wired(world)
    const plain = (await world.evaluate(view(), { token: await world.agentToken() })).context.permit ?? ''
    const refused = async (at: World, text: string) => (await problemIn(await redeem(at, text))).reason
    expect(await refused(other, permit)).toBe('permit_refused')
    expect(await refused(world, plain)).toBe('permit_refused')
    expect(await refused(world, await world.pepToken())).toBe('permit_refused')
    expect(await refused(world, `${permit.slice(0, -6)}AAAAAA`)).toBe('permit_refused')
    expect(await refused(world, 'x')).toBe('permit_refused')
  })
})

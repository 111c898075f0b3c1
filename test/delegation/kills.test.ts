import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { createWorld, problemIn, type Send, type World } from '../http/world.ts'
import { prove } from '../identity/proofs.ts'
import { ask, type Delegated, delegate, outcome, refusalOf } from './delegating.ts'

afterEach(() => clock.reset())

const LEA = { type: 'User', id: 'lea' }
const asHelper = (name: string, properties: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'helper' },
  action: { name, properties },
  resource: { type: 'Account', id: 'a1' },
})

const bank = () => createWorld({ folder: 'bank' })
const admin = async (world: World) => ({ token: await world.token({ sub: 'root', roles: ['admin'] }) })
/** `agent`: whose object is told at once; the others hear of it from the document. */
const kill = async (world: World, target: unknown, agent?: string) => {
  const told = agent === undefined ? {} : { agent: { type: 'Agent', id: agent } }
  const response = await world.post('/v1/kills', { target, reason: 'r', ...told }, await admin(world))
  expect(response.status).toBe(200)
}
/** Lets the document be written; a new isolate reads it. */
const published = async (world: World): Promise<Send> => {
  const keeper = env.AGENT.getByName(nameOf('kills', world.tenant))
  while (await runDurableObjectAlarm(keeper)) if (await env.BUNDLES.get(nameOf('epoch', world.tenant))) break
  return createIsolate().send
}
const redeem = async (world: World, permit: string | undefined, send?: Send) =>
  world.post('/v1/permits/redeem', { permit }, { token: await world.pepToken(), ...(send && { send }) })

const stops = [
  ['an agent above', { kind: 'agent', type: 'Agent', id: 'clerk' }],
  ['the group of one', { kind: 'group', type: 'Team', id: 'desk' }],
  ['the user', { kind: 'user', ...LEA }],
  ['the session', { kind: 'session', id: 's1' }],
  ['the tenant', { kind: 'tenant' }],
] as const

const handed = async (world: World): Promise<Delegated> =>
  delegate(world, await world.agentToken('clerk', { user: LEA, sid: 's1' }), { agent: 'helper' })

describe('a kill switch for what authority comes from', () => {
  it.each(stops)('%s: stops whoever has it by delegation', async (_, target) => {
    const world = await bank()
    const child = await handed(world)
    expect(await outcome(world, child, asHelper('view'))).toBe('permitted')
    await kill(world, target, 'helper')
    expect(await outcome(world, child, asHelper('view'))).toBe('killed')
  })

  it.each(stops.slice(0, 3))(
    '%s: refuses permits that are out, also where nobody told the agent',
    async (_, target) => {
      const world = await bank()
      const child = await handed(world)
      await outcome(world, child, asHelper('view'))
      const permits: (string | undefined)[] = []
      for (const amount of [1, 2]) permits.push((await ask(world, child, asHelper('wire', { amount }))).context.permit)
      await kill(world, target)
      const send = await published(world)
      expect(await problemIn(await redeem(world, permits[0], send))).toMatchObject({ status: 409, reason: 'killed' })
      // the object remembers what it was told
      expect(await problemIn(await redeem(world, permits[1]))).toMatchObject({ reason: 'killed' })
      expect((await world.receipts('helper')).filter(({ kind }) => kind === 'redemption')).toEqual([])
    },
  )

  it.each([
    ['by an agent that was stopped', 'clerk', { kind: 'agent', type: 'Agent', id: 'clerk' }],
    ['to one that was', 'clerk', { kind: 'agent', type: 'Agent', id: 'helper' }],
    ['for a user who was', 'clerk', { kind: 'user', ...LEA }],
    ['in a session that was', 'clerk', { kind: 'session', id: 's1' }],
  ] as const)('is handed on no further: %s', async (_, told, target) => {
    const world = await bank()
    await kill(world, target, told)
    expect(await refusalOf(handed(world))).toBe('killed')
    const [tried] = await world.receipts('clerk')
    expect(tried?.kind).toBe('delegation')
    expect(JSON.parse(tried?.body ?? '')).toMatchObject({
      refused: 'killed',
      delegation: { to: { type: 'Agent', id: 'helper' } },
    })
    // and no living delegation is left of it
    const listed = await world.send('GET', '/v1/delegations', undefined, await admin(world))
    expect(await listed.json()).toEqual({ delegations: [] })
  })

  it('is handed on no further by an isolate that heard of it, where the agent did not', async () => {
    const world = await bank()
    await kill(world, { kind: 'group', type: 'Team', id: 'desk' })
    const send = await published(world)
    expect(await refusalOf(delegate(world, await world.agentToken(), { agent: 'helper', send }))).toBe('killed')
  })

  it('is told by whoami', async () => {
    const world = await bank()
    const child = await handed(world)
    const killed = async (send?: Send) => {
      const url = `${world.identifier}/v1/whoami`
      const dpop = await prove(child.key, { method: 'GET', url, now: clock.now(), token: child.token })
      const headers = { authorization: `DPoP ${child.token}`, dpop }
      const response = await world.send('GET', '/v1/whoami', undefined, { headers, ...(send && { send }) })
      return (await response.json<{ killed: boolean }>()).killed
    }
    expect(await killed()).toBe(false)
    await kill(world, { kind: 'agent', type: 'Agent', id: 'clerk' })
    expect(await killed(await published(world))).toBe(true)
  })
})

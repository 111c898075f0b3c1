import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { createWorld, type World } from '../http/world.ts'
import { type Delegated, delegate, GRANT, sending } from './delegating.ts'

afterEach(() => clock.reset())

const subject = { type: 'Agent', id: 'helper' }
const resource = { type: 'Order', id: '7' }

const post = async (world: World, by: Delegated, path: string, body: unknown): Promise<unknown> =>
  (await world.post(path, body, await sending(world, by, path))).json()
const actions = (world: World, by: Delegated) => post(world, by, '/access/v1/search/action', { subject, resource })
const filter = (world: World, by: Delegated, name: string) =>
  post(world, by, '/v1/scope', { subject, action: { name }, resource: { type: 'Order' } })

it('a search finds what every grant permits too, and no more', async () => {
  const world = await createWorld()
  const parent = await world.agentToken()
  const all = await delegate(world, parent, { agent: 'helper' })
  expect(await actions(world, all)).toMatchObject({
    results: expect.arrayContaining([{ name: 'ping' }, { name: 'read' }]),
  })
  const narrow = await delegate(world, parent, {
    agent: 'helper',
    details: [{ ...GRANT, actions: ['ping', 'sweep'], resources: [resource] }],
  })
  expect(await actions(world, narrow)).toMatchObject({ results: [{ name: 'ping' }, { name: 'sweep' }] })
  const elsewhere = await delegate(world, parent, {
    agent: 'helper',
    details: [{ ...GRANT, actions: ['ping'], resources: [{ type: 'Order', id: '8' }] }],
  })
  expect(await actions(world, elsewhere)).toMatchObject({ results: [] })
})

it('a filter holds where every grant permits too', async () => {
  const world = await createWorld()
  const parent = await world.agentToken()
  const scopeOf = async (details?: unknown[]) =>
    filter(world, await delegate(world, parent, { agent: 'helper', ...(details && { details }) }), 'sweep')
  expect(await scopeOf()).toMatchObject({ scope: 'always' })
  const sweep = { ...GRANT, actions: ['sweep'] }
  const one = await scopeOf([{ ...sweep, resources: [resource] }])
  expect(one).toMatchObject({ scope: 'when' })
  expect(JSON.stringify(one)).toContain('"7"')
  expect(await scopeOf([{ ...GRANT, actions: ['read'] }])).toMatchObject({ scope: 'never' })
  // A filter can't count, and must not outlive the grant.
  expect(await scopeOf([{ ...sweep, uses: 5 }])).toMatchObject({ scope: 'never' })
  const soon = Math.floor(clock.now() / 1000) + 30
  expect(await scopeOf([{ ...sweep, expires_at: soon }])).toMatchObject({ scope: 'never' })
})

it('what comes from a suspended agent finds nothing, and is told why', async () => {
  const world = await createWorld()
  const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
  const admin = await world.token({ roles: ['admin'] })
  await world.post('/v1/agents/Agent/clerk/suspend', { reason: 'test' }, { token: admin })
  expect(await actions(world, child)).toMatchObject({ results: [], context: { reason: 'revoked', recorded: true } })
  expect(await filter(world, child, 'sweep')).toMatchObject({ scope: 'never', context: { reason: 'revoked' } })
})

import { afterEach, describe, expect, it } from 'vitest'
import { agentName } from '../../src/decision/prepare.ts'
import { contentHash } from '../../src/durable/hash.ts'
import { wrongLinks } from '../audit/verify.ts'
import { clock } from '../clock.ts'
import { createWorld, problemIn, type Sending, type World } from '../http/world.ts'
import { delegate, GRANT, purseAt, sending } from './delegating.ts'

afterEach(() => clock.reset())

const ask = (world: World, by: Sending) => world.send('GET', '/v1/whoami', undefined, by)
const admin = async (world: World, path: string) =>
  world.post(path, { reason: 'test' }, { token: await world.token({ roles: ['admin'] }) })

describe('whoami', () => {
  it('of an agent is on its chain, with the hash of what it was told', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), {
      agent: 'helper',
      details: [{ ...GRANT, actions: ['refund'], uses: 3 }],
    })
    const answer = await ask(world, await sending(world, child, '/v1/whoami', 'GET'))
    expect(await answer.json()).toMatchObject({ recorded: true, authorization_details: [{ left: { uses: 3 } }] })
    const receipts = await world.receipts('helper')
    expect(wrongLinks(agentName(world.tenant, { type: 'Agent', id: 'helper' }), receipts)).toEqual([])
    const [{ kind, body } = { kind: '', body: '' }] = receipts
    const left = await purseAt(world.object('helper'), child.id)
    expect(kind).toBe('whoami')
    expect(JSON.parse(body)).toMatchObject({
      agent: { id: 'helper' },
      whoami: { result_hash: contentHash({ uses: 3, amount: null, until: left?.until }) },
    })
  })

  it('takes a proof once', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
    const once = await sending(world, child, '/v1/whoami', 'GET')
    expect((await ask(world, once)).status).toBe(200)
    expect((await problemIn(await ask(world, once))).reason).toBe('invalid_dpop_proof')
  })

  it('tells a suspended agent so, and nothing of what is left; and one whose parent is', async () => {
    const world = await createWorld()
    const child = await delegate(world, await world.agentToken(), {
      agent: 'helper',
      details: [{ ...GRANT, actions: ['refund'], uses: 3 }],
    })
    await admin(world, '/v1/agents/Agent/clerk/suspend')
    const told = await (await ask(world, await sending(world, child, '/v1/whoami', 'GET'))).json()
    expect(told).toMatchObject({ revoked: true, reason: 'revoked', recorded: true })
    expect(JSON.stringify(told)).not.toContain('left')
    expect(await (await ask(world, { token: await world.agentToken() })).json()).toMatchObject({ reason: 'suspended' })
  })

  it('costs an attempt, so that asking without end ends', async () => {
    const world = await createWorld({ settings: { limits: { attempts: '2/h' } } })
    const by = { token: await world.agentToken() }
    expect((await ask(world, by)).status).toBe(200)
    expect((await ask(world, by)).status).toBe(200)
    expect((await problemIn(await ask(world, by))).reason).toBe('too_many_attempts')
  })

  it('of a genuine stranger is on a chain of its tenant, and of others than agents on none', async () => {
    const world = await createWorld()
    expect(await (await ask(world, { token: await world.agentToken('nobody') })).json()).toMatchObject({
      reason: 'unknown_agent',
      recorded: true,
    })
    expect((await world.unattributed()).map(({ kind }) => kind)).toEqual(['whoami'])
    expect(await world.receipts('nobody')).toEqual([])
    for (const role of ['admin', 'auditor', 'pep', 'approver']) {
      const answer = await ask(world, { token: await world.token({ roles: [role] }) })
      expect(await answer.json()).not.toHaveProperty('recorded')
    }
  })
})

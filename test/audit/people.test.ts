import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import type { Privacy } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { mend } from '../doubles.ts'
import { createLogWorld, exportOf, publish, verify } from './log/build.ts'

/** People whom a PEP asks about go by a pseudonym, and an erasure parts them from it. */

afterEach(() => {
  mend()
  clock.reset()
})

const ADA = 'User::"ada-lovelace"'
const personal: Privacy['personal'] = [{ of: 'user', fields: ['arguments', 'asserted', 'resource'] }]

const worldOf = async (privacy: Privacy = { personal, people: ['User'] }) => {
  const world = await createLogWorld({ privacy })
  const pep = await world.pepToken()
  const admin = await world.token({ roles: ['admin'] })
  const ask = (id: string, amount = 5) => ({
    subject: { type: 'User', id, properties: { tier: 'gold-standard' } },
    action: { name: 'refund', properties: { amount } },
    resource: { type: 'Order', id: '7' },
  })
  const search = async (agent: string): Promise<{ agent: string; chain: string }[]> =>
    (await world.getJson(`/v1/receipts?agent=${encodeURIComponent(agent)}`)).receipts
  return {
    ...world,
    pep,
    admin,
    ask,
    search,
    refund: (id: string, amount?: number) => world.evaluate(ask(id, amount), { token: pep }),
    decision: async (id: string) => world.getJson(`/v1/decisions/${id}`),
    erase: (id: string) =>
      world.post('/v1/erasures', { subject: { type: 'User', id }, reason: 'asked to' }, { token: admin }),
    /** Lets all chains that D1 or we know of come to D1. */
    flush: async (...chains: string[]) => {
      clock.advance(3_000)
      for (const chain of [...chains, nameOf('unattributed', world.tenant, 'record')])
        await runDurableObjectAlarm(env.AGENT.getByName(chain))
      await publish(world.tenant)
    },
  }
}

/** The one object that came into being for a tenant's person, found by what was called. */
const chainsOf = async (world: Awaited<ReturnType<typeof worldOf>>, work: (send: never) => Promise<unknown>) => {
  const names: string[] = []
  const isolate = createIsolate(
    {},
    {
      AGENT: new Proxy(env.AGENT, {
        get: (target, key) =>
          key === 'getByName'
            ? (name: string) => {
                names.push(name)
                return target.getByName(name)
              }
            : Reflect.get(target, key, target),
      }),
    },
  )
  await work(isolate.send as never)
  return names.filter(name => name !== nameOf('unattributed', world.tenant, 'record'))
}

const objectOf = async (world: Awaited<ReturnType<typeof worldOf>>, id: string): Promise<string> => {
  const [chain] = await chainsOf(world, send => world.evaluate(world.ask(id), { token: world.pep, send }))
  if (chain === undefined) throw new Error('no object was called')
  return chain
}

/** All that is stored of one person's object, and of the tenant in D1. */
const stored = async (tenant: string, chain: string): Promise<string> => {
  const rows = await env.DB.prepare('SELECT * FROM receipts WHERE tenant = ?').bind(tenant).all()
  const own = await runInDurableObject(env.AGENT.getByName(chain), (_, { storage }) =>
    storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      )
      .toArray()
      .map(({ name }) => storage.sql.exec(`SELECT * FROM ${name}`).toArray()),
  )
  return JSON.stringify([rows.results, own])
}

it('who acted is nowhere in clear, and auditors find and read it', async () => {
  const world = await worldOf()
  const chain = await objectOf(world, 'ada-lovelace')
  const { context } = await world.refund('ada-lovelace')
  await world.flush(chain)
  expect(chain).not.toBe(nameOf('agent', world.tenant, 'User', 'ada-lovelace'))
  expect(await stored(world.tenant, chain)).not.toMatch(/lovelace|gold-standard/)
  const found = await world.search(ADA)
  expect(found.map(receipt => receipt.chain)).toEqual([chain, chain])
  expect(found[0]?.agent).toMatch(/^User::"~[\w-]{43}"$/)
  expect(await world.search(found[0]?.agent ?? '')).toHaveLength(2)
  const { body, secrets } = await world.decision(context.evaluation_id)
  expect(body.agent.id).toMatch(/^~/)
  expect(secrets.acting.value).toEqual({ type: 'User', id: 'ada-lovelace' })
  // One person is one object: limits, standing and waits are theirs.
  expect(await objectOf(world, 'ada-lovelace')).toBe(chain)
  expect(await objectOf(world, 'ben')).not.toBe(chain)
})

it('an erasure parts them: nothing leads to who it was, who comes back is new, and the record verifies', async () => {
  const world = await worldOf()
  const chain = await objectOf(world, 'ada-lovelace')
  const { context } = await world.refund('ada-lovelace')
  await world.flush(chain)
  expect((await world.erase('ada-lovelace')).status).toBe(200)
  expect((await world.erase('ada-lovelace')).status).toBe(404)
  expect(await stored(world.tenant, chain)).not.toMatch(/lovelace|gold-standard/)
  const gone = await world.decision(context.evaluation_id)
  expect(gone.secrets.acting).toBeUndefined()
  expect(gone.body.decision.outcome).toBe('deny')
  expect(await world.search(ADA)).toEqual([])
  const again = await objectOf(world, 'ada-lovelace')
  expect(again).not.toBe(chain)
  await world.flush(again)
  expect((await world.search(ADA)).map(receipt => receipt.chain)).toEqual([again])
  const { keys } = await world.getJson('/v1/log')
  expect((await verify(await exportOf(world), keys)).findings).toEqual([])
})

it('what is decided is judged on who they are, and can be judged again while that is known', async () => {
  const world = await worldOf()
  const [chain = ''] = await chainsOf(world, send =>
    world.evaluate(world.ask('lea'), { token: world.pep, send }).then(({ decision }) => expect(decision).toBe(true)),
  )
  const { context } = await world.refund('lea')
  await world.flush(chain)
  expect(await world.getJson(`/v1/decisions/${context.evaluation_id}/again`)).toMatchObject({ same: true })
  await world.erase('lea')
  expect((await world.get(`/v1/decisions/${context.evaluation_id}/again`)).status).toBe(409)
})

it('suspending a person, asking after them and reporting what came of it reach their object', async () => {
  const world = await worldOf()
  const chain = await objectOf(world, 'lea')
  const { context } = await world.refund('lea')
  await world.flush(chain)
  const report = { outcome: 'done', subject: { type: 'User', id: 'lea' } }
  const reported = await world.post(`/v1/decisions/${context.evaluation_id}/outcome`, report, { token: world.pep })
  expect(reported.status).toBe(200)
  const suspended = await world.post('/v1/agents/User/lea/suspend', { reason: 'on leave' }, { token: world.admin })
  expect(suspended.status).toBe(200)
  expect((await world.refund('lea')).context.reason).toBe('suspended')
  const status = await world.send('GET', '/v1/agents/User/lea', undefined, { token: world.admin })
  expect(await status.json()).toMatchObject({ suspended: true })
})

it('where the pseudonym can’t be made there is no decision, and nothing is stored', async () => {
  const world = await worldOf()
  const broken = createIsolate({}, { KEY_ENCRYPTION_KEY: 'nonsense' })
  const response = await world.post('/access/v1/evaluation', world.ask('ada-lovelace'), {
    token: world.pep,
    send: broken.send,
  })
  expect(response.status).toBe(503)
  expect(broken.calls).toEqual([])
})

it('agents, and tenants that name no people, stay as they are', async () => {
  const world = await worldOf({ personal: [] })
  expect(await objectOf(world, 'ada-lovelace')).toBe(nameOf('agent', world.tenant, 'User', 'ada-lovelace'))
})

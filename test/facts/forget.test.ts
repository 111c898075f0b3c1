import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { problemIn } from '../http/world.ts'
import { ask, createTruth, type TruthWorld, total } from './build.ts'

let world: TruthWorld
beforeEach(async () => {
  clock.reset()
  world = await createTruth()
})

const erase = async (id: string) =>
  world.post(
    '/v1/erasures',
    { subject: { type: 'Order', id }, reason: 'asked to' },
    { token: await world.token({ roles: ['admin'] }) },
  )
const known = async (id: string) => {
  const token = await world.token({ roles: ['auditor'] })
  const path = `/v1/facts?type=Order&id=${id}`
  const { facts } = await (await world.send('GET', path, undefined, { token })).json<{ facts: unknown[] }>()
  return facts.length
}
/** Once the isolate has forgotten what it knew of the ledger. */
const refund = async (id: string) => {
  clock.advance(31_000)
  return (await world.evaluate(ask('refund', { amount: 5 }, {}, id), { token: await world.agentToken() })).context
}

it('an erasure takes what the ledger says of the entity, and of no other', async () => {
  const stated = total(9_000)
  const other = total(9_000, { entity: { type: 'Order', id: '8' } })
  const [first] = await world.push('orders', [stated, other])
  const decided = await refund('7')
  expect(decided.outcome).toBe('allow')
  expect((await erase('7')).status).toBe(200)
  expect([await known('7'), await known('8')]).toEqual([0, 1])
  expect(await refund('7')).toMatchObject({ outcome: 'defer', reason: 'facts_missing' })
  expect((await refund('8')).outcome).toBe('allow')

  // what was decided on them stands, and can't be judged again
  clock.advance(2_000)
  await runDurableObjectAlarm(world.object())
  const auditor = await world.token({ roles: ['auditor'] })
  const again = await world.send('GET', `/v1/decisions/${decided.evaluation_id}/again`, undefined, { token: auditor })
  expect((await problemIn(again)).reason).toBe('erased')

  // stated again it is known again, as anything new
  expect(await world.push('orders', [stated])).toMatchObject([{ id: first?.id, status: 'recorded' }])
  expect((await refund('7')).outcome).toBe('allow')
})

it('an erasure takes what waits for facts about the entity', async () => {
  expect((await refund('7')).outcome).toBe('defer')
  await world.push('orders', [total(9_000, { entity: { type: 'Order', id: '8' } })])
  expect((await erase('8')).status).toBe(200)
  const waits = () =>
    env.DB.prepare('SELECT entity FROM fact_waits WHERE tenant = ?').bind(world.tenant).all<{ entity: string }>()
  expect((await waits()).results).toEqual([{ entity: 'Order::"7"' }])
  await world.push('orders', [total(9_000)])
  await erase('7')
  expect((await waits()).results).toEqual([])
  expect((await erase('7')).status).toBe(404)
})

import {
  createExecutionContext,
  createScheduledController,
  runDurableObjectAlarm,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it, vi } from 'vitest'
import { agentName } from '../../src/decision/prepare.ts'
import worker from '../../src/index.ts'
import { clock } from '../clock.ts'
import { asking, problemIn } from '../http/world.ts'
import { collect, createLogWorld, exportOf, manyOf, publish, verify } from './log/build.ts'

afterEach(() => clock.reset())

const DAY = 86_400_000

const worldOf = async () => {
  const world = await createLogWorld({ log: { public: false, witnesses: [], keep: { days: 35, receipts: 10_000 } } })
  const admin = async () => world.token({ roles: ['admin'] })
  const call = async (path: string, body?: string) => world.send('POST', path, body, { token: await admin() })
  const inD1 = async () =>
    (
      await env.DB.prepare('SELECT count(*) AS n FROM receipts WHERE tenant = ?')
        .bind(world.tenant)
        .first<{ n: number }>()
    )?.n
  const fresh = async () => {
    const token = await world.token({ roles: ['auditor'] })
    const get = (path: string) => world.send('GET', path, undefined, { token })
    const getJson = async (path: string) => JSON.parse(await (await get(path)).text())
    return { ...world, get, getJson }
  }
  return { ...world, call, inD1, fresh }
}

/** 600 receipts, of which 512 fill two bundles of the log. */
const filled = async () => {
  const world = await worldOf()
  const call = manyOf(world.tenant, 600)
  await collect(call)
  await publish(world.tenant)
  return { world, call }
}

it('what is beyond the retention goes to the bucket, and stays provable and findable', async () => {
  const { world, call } = await filled()
  const idOf = (at: number): string => JSON.parse(call.receipts[at]?.body ?? '').decision.evaluation_id
  expect(await (await world.call('/v1/record/archive')).json()).toEqual({ bundles: 0, more: false })
  const before = await exportOf(world)
  const shown = await world.getJson(`/v1/decisions/${idOf(5)}`)
  clock.advance(400 * DAY)
  expect(await (await world.call('/v1/record/archive')).json()).toEqual({ bundles: 2, more: false })
  expect(await world.inD1()).toBe(88)
  expect(await (await world.call('/v1/record/archive')).json()).toEqual({ bundles: 0, more: false })
  const left = await env.DB.prepare('SELECT count(*) AS n FROM receipt_policies WHERE tenant = ?')
    .bind(world.tenant)
    .first()
  expect(left).toEqual({ n: 0 })

  const later = await world.fresh()
  const { keys } = await later.getJson('/v1/log')
  const lines = await exportOf(later)
  expect((await verify(lines, keys)).findings).toEqual([])
  expect(lines.slice(1)).toEqual(before.slice(1))
  expect(shown.hash).toBe(call.receipts[5]?.hash)
  // ids of these receipts are random, not UUIDv7, so they carry no time to be found by once they are archived
  expect((await later.get(`/v1/decisions/${idOf(5)}`)).status).toBe(404)
})

it('the hourly run does it for every tenant, and one whose record does not verify holds up no other', async () => {
  const [first, wrong, last] = [await filled(), await filled(), await filled()]
  await env.DB.prepare("UPDATE receipts SET body = replace(body, 'refund', 'REFUND') WHERE chain = ? AND seq = 3")
    .bind(wrong.call.chain)
    .run()
  for (const { world } of [first, wrong, last]) {
    await env.DB.prepare(
      "INSERT INTO activations (tenant, seq, hash, pushed_at, pushed_by) VALUES (?, 1, '-', '-', '-')",
    )
      .bind(world.tenant)
      .run()
  }
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  const context = createExecutionContext()
  const scheduledTime = new Date(clock.now() + 400 * DAY)
  await worker.scheduled(createScheduledController({ scheduledTime, cron: '17 * * * *' }), env, context)
  await waitOnExecutionContext(context)
  expect(await Promise.all([first, wrong, last].map(({ world }) => world.inD1()))).toEqual([88, 600, 88])
  expect(told.mock.calls.map(([text]) => text)).toEqual([
    `tenant ${wrong.world.tenant}: bundle 0 of the log does not verify, and stays:`,
  ])
  told.mockRestore()
})

it('an archived decision is found by its id, with its proof', async () => {
  const world = await worldOf()
  const { context } = await world.evaluate(asking('read'), { token: await world.agentToken() })
  clock.advance(2_000)
  await runDurableObjectAlarm(env.AGENT.getByName(agentName(world.tenant, { type: 'Agent', id: 'clerk' })))
  await collect(manyOf(world.tenant, 260))
  await publish(world.tenant)
  clock.advance(400 * DAY)
  expect(await (await world.call('/v1/record/archive')).json()).toEqual({ bundles: 1, more: false })
  const later = await world.fresh()
  const found = await later.getJson(`/v1/decisions/${context.evaluation_id}`)
  expect(found).toMatchObject({ agent: 'Agent::"clerk"', body: { decision: { evaluation_id: context.evaluation_id } } })
  expect((await later.getJson(`/v1/decisions/${context.evaluation_id}/proof`)).proof.length).toBeGreaterThan(0)
})

it('a record that does not verify is not archived', async () => {
  const { world, call } = await filled()
  await env.DB.prepare("UPDATE receipts SET body = replace(body, 'refund', 'REFUND') WHERE chain = ? AND seq = 3")
    .bind(call.chain)
    .run()
  clock.advance(400 * DAY)
  const refused = await problemIn(await world.call('/v1/record/archive'))
  expect(refused).toMatchObject({ status: 409, reason: 'record_unsound' })
  expect(refused.detail).toContain('"seq":3')
  expect(await world.inD1()).toBe(600)
})

it('an export brings back what D1 lost, and nothing that the log does not vouch for', async () => {
  const { world, call } = await filled()
  const lines = await exportOf(world)
  await env.DB.prepare('DELETE FROM receipts WHERE tenant = ?').bind(world.tenant).run()
  const bundles = Map.groupBy(
    lines.filter(line => line.startsWith('{"type":"receipt"')),
    line => Math.floor(JSON.parse(line).leaf / 256),
  )
  for (const [n, receipts] of bundles) {
    const forged = [...receipts.slice(1), (receipts[0] ?? '').replace('"action":"refund"', '"action":"steal"')]
    expect((await problemIn(await world.call(`/v1/record/restore/${n}`, forged.join('\n')))).reason).toBe(
      'record_unsound',
    )
    expect((await problemIn(await world.call(`/v1/record/restore/${n + 1}`, receipts.join('\n')))).reason).toBe(
      'record_unsound',
    )
    expect(await (await world.call(`/v1/record/restore/${n}`, receipts.join('\n'))).json()).toEqual({
      receipts: receipts.length,
    })
  }
  expect(await world.inD1()).toBe(600)
  expect(await exportOf(world)).toEqual(lines)
  expect((await problemIn(await world.call('/v1/record/restore/0', 'no lines'))).status).toBe(400)
  expect(call.receipts).toHaveLength(600)
})

it('agents fill up a D1 that was restored to an earlier time', async () => {
  const world = await worldOf()
  const agent = () => env.AGENT.getByName(agentName(world.tenant, { type: 'Agent', id: 'clerk' }))
  for (let index = 0; index < 4; index++) await world.evaluate(asking('read'), { token: await world.agentToken() })
  clock.advance(2_000)
  await runDurableObjectAlarm(agent())
  await publish(world.tenant)
  const before = await exportOf(world)
  await env.DB.prepare('DELETE FROM receipts WHERE tenant = ? AND seq > 1').bind(world.tenant).run()
  expect(await (await world.call('/v1/record/refill')).json()).toEqual({ chains: 1 })
  clock.advance(2_000)
  await runDurableObjectAlarm(agent())
  expect(await exportOf(world)).toEqual(before)
})

it('only admins may', async () => {
  const world = await worldOf()
  for (const path of ['/v1/record/archive', '/v1/record/restore/0', '/v1/record/refill', '/v1/erasures'])
    expect((await problemIn(await world.send('POST', path, '{}', { token: world.auditor }))).status).toBe(403)
})

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import type { Privacy } from '../../src/policy/tenant.ts'
import { exportOf, publish, verify } from '../audit/log/build.ts'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, type Desk, refund, withApproval } from './world.ts'

/** An erasure takes what escalations hold of somebody too; the record still verifies. */

afterEach(() => {
  clock.reset()
  calm()
})

const personal: Privacy = {
  personal: [{ of: 'user', fields: ['user', 'arguments', 'resource', 'caller', 'facts', 'asserted'] }],
}

const open = async (privacy?: Privacy) => {
  const desk = await createDesk(privacy && { privacy })
  const auditor = await desk.token({ roles: ['auditor'] })
  const get = (path: string) => desk.send('GET', path, undefined, { token: auditor })
  const admin = await desk.token({ roles: ['admin'] })
  return {
    ...desk,
    auditor,
    get,
    getJson: async (path: string) => JSON.parse(await (await get(path)).text()),
    erase: (type: string, id: string) =>
      desk.post('/v1/erasures', { subject: { type, id }, reason: 'asked to' }, { token: admin }),
    flush: async () => {
      clock.advance(2_000)
      await runDurableObjectAlarm(desk.object())
      await runDurableObjectAlarm(env.AGENT.getByName(nameOf('unattributed', desk.tenant, 'record')))
    },
  }
}
type Opened = Awaited<ReturnType<typeof open>>

/** Quoted, in JSON or in JSON within it: a random text may have the letters. */
const UMA = /"uma\\*"/

const asked = (amount = 600) =>
  refund(amount, { action: { name: 'refund', properties: { amount, note: 'for-mrs-underhill' } } })

/** Everything that is stored of a request: its object, its agent's, and D1. */
const stored = async (desk: Opened, task: string): Promise<string> => {
  const rows = await Promise.all(
    ['escalations', 'receipts', 'deliveries'].map(
      async table => (await env.DB.prepare(`SELECT * FROM ${table} WHERE tenant = ?`).bind(desk.tenant).all()).results,
    ),
  )
  const tables = ({ storage }: DurableObjectState, names: string[]) =>
    names.map(name => storage.sql.exec(`SELECT * FROM ${name}`).toArray())
  const own = await runInDurableObject(desk.stub(task), (_, state) => tables(state, ['escalation', 'vote', 'delivery']))
  const agent = await runInDurableObject(desk.object(), (_, state) =>
    tables(state, ['receipt', 'reply', 'step_up', 'approval', 'resolution']),
  )
  return JSON.stringify([rows, own, agent])
}

const linkTo = async (desk: Desk, task: string) =>
  linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: 'fay' } },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 3_600_000 },
  )

it('one that waits is withdrawn, nothing of what it asked for is left, and its page says so', async () => {
  const desk = await open(personal)
  const { task } = await desk.requested(asked(), { context: { business_justification: 'mrs-underhill called' } })
  await desk.later(task, 10)
  expect(await stored(desk, task)).toMatch(UMA)
  expect((await desk.erase('User', 'uma')).status).toBe(200)
  await desk.later(task, 2_000)
  await desk.flush()
  const left = await stored(desk, task)
  for (const text of [UMA, /underhill/, /"7\\*"/]) expect(left).not.toMatch(text)
  const link = await linkTo(desk, task)
  const html = await (await desk.send('GET', link, undefined)).text()
  expect(html).toContain('was erased at')
  expect(html).toContain('Withdrawn')
  expect(html).not.toContain('<form')
  const body = 'vote=approve'
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
  expect((await exports.default.fetch(new Request(link, { method: 'POST', body, headers }))).status).toBe(409)
  expect(await desk.getJson(`/v1/escalations/${task}`)).toMatchObject({
    status: 'cancelled',
    erased_at: expect.any(String),
  })
})

it('of one that was answered stays how it ended; its approval is gone, and the record verifies', async () => {
  const desk = await open(personal)
  const { task, approval, ask } = await desk.approved(asked(), ['fay'], {
    vote: 'approve',
    reason: 'mrs-underhill is known to us',
  })
  await desk.later(task, 2_000)
  await desk.flush()
  // What humans said lies under the key of whom it is about, and auditors read it.
  expect(JSON.stringify(await desk.receipts())).not.toContain('underhill')
  expect((await desk.erase('User', 'uma')).status).toBe(200)
  await desk.later(task, 2_000)
  await desk.flush()
  const left = await stored(desk, task)
  for (const text of [UMA, /underhill/]) expect(left).not.toMatch(text)
  expect(await desk.getJson(`/v1/escalations/${task}`)).toMatchObject({ status: 'approved' })
  const after = await desk.evaluate(withApproval(ask, approval))
  expect(after).toMatchObject({ decision: false, context: { reason: 'approval_unverifiable' } })
  await desk.flush()
  await publish(desk.tenant)
  const { keys } = await desk.getJson('/v1/log')
  const lines = await exportOf(desk)
  expect((await verify(lines, keys)).findings).toEqual([])
  expect(lines.some(line => line.includes('"kind":"escalation"'))).toBe(true)
})

it('reaches those about a resource, however many, without any rule, and leaves others alone', async () => {
  const desk = await open()
  const on = (id: string, amount: number) => acting('refund', amount, { resource: { type: 'Order', id } })
  const about: string[] = []
  for (let amount = 600; amount < 603; amount++) about.push((await desk.requested(on('gone', amount))).task)
  const { task: other } = await desk.requested(on('kept', 700))
  for (const task of [...about, other]) await desk.later(task, 10)
  await desk.vote(about[0] ?? '', 'fay', { vote: 'reject', reason: 'about gone' })
  await desk.later(about[0] ?? '', 2_000)
  await desk.flush()
  expect((await desk.erase('Order', 'gone')).status).toBe(200)
  await desk.flush()
  expect(await desk.getJson(`/v1/escalations/${other}`)).toMatchObject({
    status: 'pending',
    requester: expect.stringContaining('uma'),
  })
  for (const task of about) {
    const told = await desk.getJson(`/v1/escalations/${task}`)
    expect(told.ask.resource).toEqual({ type: 'Order', id: '' })
  }
  expect(JSON.stringify((await env.DB.prepare('SELECT * FROM escalations').all()).results)).not.toContain('gone')
  const ends = (await desk.receipts()).filter(({ kind }) => kind === 'escalation')
  expect(ends.map(({ secrets }) => secrets)).toContain('{}')
  expect((await desk.erase('Order', 'gone')).status).toBe(404)
})

it('where an escalation can’t be reached, the erasure says so and can be asked for again', async () => {
  const desk = await open(personal)
  const { task } = await desk.requested(asked())
  await desk.later(task, 10)
  const broken = new Proxy(env.ESCALATION, {
    get: (target, name) =>
      name === 'getByName'
        ? () => ({ erase: async () => Promise.reject(new Error('cut off')) })
        : Reflect.get(target, name, target),
  })
  const { createApp } = await import('../../src/http/app.ts')
  const { createSource } = await import('../../src/policy/source.ts')
  const app = createApp({ now: () => clock.now(), source: createSource() })
  const ctx = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} }
  const send = async (request: Request) => app.fetch(request, { ...env, ESCALATION: broken }, ctx as never)
  const admin = await desk.token({ roles: ['admin'] })
  const wanted = { subject: { type: 'User', id: 'uma' }, reason: 'asked to' }
  expect((await desk.post('/v1/erasures', wanted, { token: admin, send })).status).toBe(503)
  expect((await desk.erase('User', 'uma')).status).toBe(200)
  expect(await desk.getJson(`/v1/escalations/${task}`)).toMatchObject({ status: 'cancelled' })
})

it('of a person whom a gateway asked for nothing is left either, and their approval is nobody’s', async () => {
  const desk = await open({ ...personal, people: ['User'] })
  const pep = await desk.pepToken()
  const ask = { ...acting('burst', 5), subject: { type: 'User', id: 'ada-lovelace' } }
  const { task } = await desk.requested(ask, {}, pep)
  await desk.later(task, 10)
  const link = await linkTo(desk, task)
  // Whoever approves must know for whom.
  expect(await (await desk.send('GET', link, undefined)).text()).toContain('User::&quot;ada-lovelace&quot;')
  expect((await desk.vote(task, 'fay', { vote: 'approve', reason: 'ada-lovelace is known to us' })).status).toBe(200)
  const { object } = await runInDurableObject(desk.stub(task), (_, { storage }) =>
    JSON.parse(storage.sql.exec<{ open: string }>('SELECT open FROM escalation').one().open),
  )
  const approval = (await desk.status(task, pep)).result?.approval
  await desk.later(task, 2_000)
  expect(await desk.evaluate(withApproval(ask, approval), pep)).toMatchObject({ decision: true })
  const flush = async () => {
    clock.advance(3_000)
    await runDurableObjectAlarm(env.AGENT.getByName(object))
    await publish(desk.tenant)
  }
  await flush()
  const all = async () => {
    const rows = await Promise.all(
      ['escalations', 'receipts'].map(
        async table =>
          (await env.DB.prepare(`SELECT * FROM ${table} WHERE tenant = ?`).bind(desk.tenant).all()).results,
      ),
    )
    const tables =
      (names: string[]) =>
      (_: unknown, { storage }: DurableObjectState) =>
        names.map(name => storage.sql.exec(`SELECT * FROM ${name}`).toArray())
    const own = await runInDurableObject(desk.stub(task), tables(['escalation', 'vote', 'delivery']))
    const acted = await runInDurableObject(
      env.AGENT.getByName(object),
      tables(['self', 'receipt', 'reply', 'step_up', 'approval', 'wait', 'pending', 'redeemable']),
    )
    return JSON.stringify([rows, own, acted])
  }
  expect(await all()).toContain('lovelace')
  expect((await desk.erase('User', 'ada-lovelace')).status).toBe(200)
  await desk.later(task, 2_000)
  expect(await all()).not.toContain('lovelace')
  expect(await (await desk.send('GET', link, undefined)).text()).toContain('was erased at')
  const { keys } = await desk.getJson('/v1/log')
  const lines = await exportOf(desk)
  expect(lines.join()).not.toContain('lovelace')
  expect((await verify(lines, keys)).findings).toEqual([])
})

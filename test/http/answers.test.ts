import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { delegate, exchange, GRANT, sending } from '../delegation/delegating.ts'
import { createDesk, type Desk, refund, submission } from '../escalation/world.ts'
import { ask as askTruth, createTruth, total } from '../facts/build.ts'
import { holder, prove } from '../identity/proofs.ts'
import { calm } from '../outside.ts'
import { unfit } from './described.ts'
import { createWorld, type World } from './world.ts'

/** What the API really answers, held against what it says of itself. */

it('what is missing, of another kind or told of nowhere doesn’t fit', async () => {
  const kill = { target: 't', by: 'b', reason: 'r', since: 's' }
  const of = (json: unknown, path = '/v1/kills') => unfit('GET', path, Response.json(json))
  expect(await of({ seq: 1, kills: [kill] })).toEqual([])
  expect(await of({ seq: '1', kills: [{ ...kill, since: undefined, more: 1 }] })).toEqual([
    '/seq: "1" is no number',
    '/kills/0/since is missing',
    '/kills/0/more is told of nowhere',
  ])
  expect(await of({ chains: [{ chain: 'c', agent: 'a', since: 1 }], forks: [] }, '/v1/backlog')).toEqual([
    '/chains/0/since: 1 is no string',
  ])
  expect(await of({ chains: [{ chain: 'c', agent: 'a', since: '2026-01-01T00:00:00+01:00' }] }, '/v1/backlog')).toEqual(
    ['/forks is missing', '/chains/0/since: "2026-01-01T00:00:00+01:00" is no time in UTC'],
  )
  expect(await unfit('GET', '/v1/kills', Response.json({}, { status: 202 }))).toHaveLength(1)
})

afterEach(() => {
  clock.reset()
  calm()
})

type Place = Pick<World, 'token' | 'send'>

/** The answer at a path, which must fit what OpenAPI says of `route`. */
const fitting = async (
  { token, send }: Place,
  route: string,
  path: string,
  { method = 'GET', role = 'admin', body }: { method?: string; role?: string; body?: unknown } = {},
): Promise<Record<string, unknown>> => {
  const text = body === undefined ? undefined : JSON.stringify(body)
  const response = await send(method, path, text, { token: await token({ sub: 'someone', roles: [role] }) })
  const copy = response.clone()
  expect({ status: response.status, unfit: await unfit(method, route, response) }).toEqual({ status: 200, unfit: [] })
  return copy.json()
}

const TASK = '/v1/escalations/{task}'
const escalation = (desk: Desk, task: string) => fitting(desk, TASK, `/v1/escalations/${task}`)
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

it('a request, from asking to its end', async () => {
  const desk = await createDesk()
  const requested_until = new Date(clock.now() + 3_600_000).toISOString()
  const { task, evaluation } = await desk.requested(refund(600), {
    context: { business_justification: 'the parcel is back' },
    client: { actor: { id: 'clerk' }, app: 'desk' },
    requested_access: { requested_until },
  })
  expect(await escalation(desk, task)).toMatchObject({
    task,
    status: 'pending',
    evaluation_id: evaluation,
    agent: 'Agent::"clerk"',
    ask: { action: { name: 'refund', properties: { amount: 600 } } },
    client: { app: 'desk' },
    justification: 'the parcel is back',
    requested_until,
    requirements: [
      {
        policy: 'refund-over-500',
        text_hash: expect.any(String),
        remind_seconds: 3_600,
        valid_seconds: 3_600,
        sign_in: false,
        standing: { session: true, ranges: ['amount'], any_resource: true, any_arguments: false, max: 3, for: 86_400 },
      },
    ],
    opened_at: expect.stringMatching(MOMENT),
    expires_at: expect.stringMatching(MOMENT),
    votes: [],
    approvals: [{ policy: 'refund-over-500', needed: 1, given: 0 }],
    over: false,
  })
  await desk.later(task, 10)
  const standing = { session: true, range: { argument: 'amount', max: 800 }, any_resource: true, max: 2, for: 600 }
  await desk.vote(task, 'fay', { vote: 'approve', reason: 'it is', standing })
  expect(await escalation(desk, task)).toMatchObject({
    status: 'approved',
    decided_at: expect.stringMatching(MOMENT),
    votes: [{ approver: 'User::"fay"', vote: 'approve', at: expect.stringMatching(MOMENT), signed_in: true, standing }],
    deliveries: expect.arrayContaining([
      expect.objectContaining({ attempts: [expect.objectContaining({ at: expect.stringMatching(MOMENT) })] }),
    ]),
    over: true,
  })
  await desk.later(task, 10)
  const page = await fitting(desk, '/v1/escalations', '/v1/escalations?limit=1')
  expect(page).toMatchObject({
    escalations: [
      {
        task,
        evaluation_id: evaluation,
        user: 'User::"uma"',
        groups: ['finance'],
        opened_at: expect.stringMatching(MOMENT),
        decided_at: expect.stringMatching(MOMENT),
        standing: true,
      },
    ],
    next_before: expect.stringContaining(`,${task}`),
  })
  await fitting(desk, '/v1/escalations/load', '/v1/escalations/load')
  await fitting(desk, `${TASK}/revoke`, `/v1/escalations/${task}/revoke`, { method: 'POST', body: {} })
  await fitting(desk, '/v1/webhooks/deliveries', '/v1/webhooks/deliveries')
  await fitting(desk, '/access/v1/requests/{task}', `/access/v1/requests/${task}`)
})

it('several that were requested as one', async () => {
  const desk = await createDesk()
  const items: object[] = []
  for (const amount of [600, 700]) {
    const { action, resource, denial } = submission(await desk.denied(refund(amount))) as Record<string, unknown>
    items.push({ action, resource, denial })
  }
  const response = await desk.request({ subject: { type: 'Agent', id: 'clerk' }, items })
  const { task } = await response.clone().json<{ task: { id: string } }>()
  expect(await unfit('POST', '/access/v1/requests', response)).toEqual([])
  const one = await desk.request({ subject: { type: 'Agent', id: 'clerk' }, ...items[0] })
  await desk.vote((await one.json<{ task: { id: string } }>()).task.id, 'fay')
  const seen = await desk.send('GET', `/access/v1/requests/${task.id}`, undefined, { token: desk.clerk })
  expect(await seen.clone().json()).toMatchObject({
    task: { items: [{ status: 'approved', result: { mode: 'reevaluate' } }, { status: 'pending' }] },
  })
  expect(await unfit('GET', '/access/v1/requests/{task}', seen)).toEqual([])
})

it('requests that hang on several policies, wait for others, rest on facts, or were erased', async () => {
  const desk = await createDesk()
  const { task: wire } = await desk.requested({ ...refund(5), action: { name: 'wire', properties: { amount: 5 } } })
  expect(await escalation(desk, wire)).toMatchObject({
    requirements: [{ chain: [{ group: 'directors', after_seconds: 3_600 }] }],
  })
  const fact = {
    entity: { type: 'Order', id: '7' },
    predicate: 'total',
    value: 90,
    observed_at: new Date(clock.now() - 60_000).toISOString(),
    evidence: 'https://orders.example/7',
  }
  const orders = await desk.token({ sub: 'orders', roles: ['source'], source: 'orders' })
  await desk.post('/v1/facts', { facts: [fact] }, { token: orders })
  const claims = { context: { claims: { orderTotal: 900 } } }
  const { task } = await desk.requested({
    ...refund(600, claims),
    action: { name: 'credit', properties: { amount: 600 } },
  })
  await desk.vote(task, 'fay')
  const total = { source: 'orders', value: 90, observed_at: fact.observed_at, evidence: fact.evidence }
  expect(await escalation(desk, task)).toMatchObject({
    facts: expect.arrayContaining([
      expect.objectContaining({ name: 'orderTotal', status: 'contradicted', facts: [expect.objectContaining(total)] }),
    ]),
    facts_now: expect.any(Array),
    votes: [{ facts: expect.any(Array) }],
  })
  for (const one of [wire, task]) await desk.later(one, 10)
  const erased = await desk.post(
    '/v1/erasures',
    { subject: { type: 'Order', id: '7' }, reason: 'asked to' },
    { token: await desk.token({ roles: ['admin'] }) },
  )
  expect(erased.status).toBe(200)
  expect(await escalation(desk, wire)).toMatchObject({
    status: 'cancelled',
    erased_at: expect.stringMatching(MOMENT),
    ask: { resource: { type: 'Order', id: '' } },
  })
})

it('a delegation that is to have more than there is', async () => {
  const world = await createWorld({
    folder: 'approvals',
    settings: { exchange: { widening: { escalate: 'finance' } } },
  })
  const details = (lte: number) => [{ ...GRANT, actions: ['refund'], arguments: { amount: { lte } } }]
  const parent = await delegate(world, await world.agentToken(), { details: details(100) })
  const proof = await prove(parent.key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
  const form = { subject: parent.token, agent: 'helper', details: details(400), jkt: (await holder()).jkt, proof }
  const { task } = await (await exchange(world, form)).json<{ task: { id: string } }>()
  expect(await fitting(world, TASK, `/v1/escalations/${task.id}`)).toMatchObject({
    widening: {
      child: { type: 'Agent', id: 'helper' },
      asked: [{ arguments: { amount: { lte: 400 } } }],
      has: [{ grant: parent.id, items: [{ arguments: { amount: { lte: 100 } } }] }],
      added: expect.any(Array),
    },
  })
})

it('an agent, and its sessions', async () => {
  const world = await createWorld({ folder: 'bank' })
  const token = await world.agentToken('clerk', { sid: 's1' })
  const view = {
    subject: { type: 'Agent', id: 'clerk' },
    action: { name: 'view' },
    resource: { type: 'Account', id: 'a2' },
  }
  const { context } = await world.evaluate(view, { token })
  await world.post(
    '/v1/agents/Agent/clerk/suspend',
    { reason: 'r' },
    { token: await world.token({ sub: 'someone', roles: ['admin'] }) },
  )
  const agent = () => fitting(world, '/v1/agents/{type}/{id}', '/v1/agents/Agent/clerk')
  expect(await agent()).toMatchObject({
    agent: { type: 'Agent', id: 'clerk' },
    suspended: true,
    since: expect.stringMatching(MOMENT),
    head: { seq: 2, at: expect.stringMatching(MOMENT) },
    unflushed: { count: 2, since: expect.stringMatching(MOMENT) },
    permits: [{ evaluation_id: context.evaluation_id, expires_at: expect.stringMatching(MOMENT) }],
  })
  const lifted = await fitting(world, '/v1/agents/{type}/{id}/resume', '/v1/agents/Agent/clerk/resume', {
    method: 'POST',
    body: { reason: 'r' },
  })
  expect(lifted).toMatchObject({ suspended: false })

  const child = await delegate(world, token, { agent: 'helper' })
  const asked = { ...view, subject: { type: 'Agent', id: 'helper' }, resource: { type: 'Account', id: 'a1' } }
  const path = '/access/v1/evaluation'
  expect((await world.evaluate(asked, await sending(world, child, path))).decision).toBe(true)
  for (let times = 0; times < 2; times++) await runDurableObjectAlarm(world.object('helper'))
  const session = (of: string, id: string) =>
    fitting(world, '/v1/agents/{type}/{id}/session', `/v1/agents/Agent/${of}/session?id=${id}`)
  expect(await session('helper', child.id)).toMatchObject({
    state: { started_at: expect.stringMatching(MOMENT), steps: 1 },
    steps: [
      { entry: { inherited: { line: [{ session: 's1' }], state: { started_at: expect.stringMatching(MOMENT) } } } },
      { entry: { at: expect.stringMatching(MOMENT), evaluation_id: expect.any(String), action: 'view' } },
    ],
  })
  const above = await session('clerk', 's1')
  expect(above).toMatchObject({
    steps: [
      { seq: 1, entry: { evaluation_id: context.evaluation_id, read: { class: 'confidential', level: 2 } } },
      { seq: 2, entry: { handed_on: { session: child.id } } },
      { seq: 3, entry: { told: { by: { session: child.id }, news: { resources: ['Account::"a1"'] } } } },
    ],
  })
  expect(above).not.toHaveProperty('wrong')

  await runInDurableObject(world.object(), (_, { storage }) => {
    storage.sql.exec(`UPDATE session_step SET entry = '{"at":"never"}' WHERE seq = 1`)
    storage.sql.exec(`UPDATE session SET state = '{"level":9}'`)
  })
  expect(await session('clerk', 's1')).toMatchObject({
    wrong: 1,
    state: { unreadable: '{"level":9}' },
    steps: [{ entry: { unreadable: '{"at":"never"}' } }, { seq: 2 }, { seq: 3 }],
  })
  await runInDurableObject(world.object(), (_, { storage }) => void storage.sql.exec("UPDATE session SET state = 'x'"))
  expect(await session('clerk', 's1')).toMatchObject({ wrong: 1, state: { unreadable: 'x' } })
})

it('the record, and what is read with it', async () => {
  const world = await createTruth()
  await world.push('orders', [total(5)])
  const token = await world.agentToken()
  const { context } = await world.evaluate(
    { ...askTruth('refund', { amount: 5 }), context: { claims: { orderTotal: 6 } } },
    { token },
  )
  const backlog = await fitting(world, '/v1/backlog', '/v1/backlog')
  expect(backlog).toMatchObject({ forks: [] })
  clock.advance(3_000)
  await runDurableObjectAlarm(world.object())
  const id = context.evaluation_id
  await fitting(world, '/v1/receipts', '/v1/receipts')
  await fitting(world, '/v1/decisions/{id}', `/v1/decisions/${id}`)
  expect(await fitting(world, '/v1/decisions/{id}/again', `/v1/decisions/${id}/again`)).toMatchObject({
    facts: expect.arrayContaining([
      expect.objectContaining({ facts: [expect.objectContaining({ observed_at: expect.stringMatching(MOMENT) })] }),
    ]),
  })
  await fitting(world, '/v1/facts', '/v1/facts?type=Order&id=7')
  await fitting(world, '/v1/kills', '/v1/kills')
  await fitting(world, '/v1/whoami', '/v1/whoami')
  await fitting(world, '/v1/delegations', '/v1/delegations')
  await fitting(world, '/v1/log', '/v1/log')
})

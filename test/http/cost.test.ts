import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import api from '../../docs/api.md?raw'
import { linkUrl } from '../../src/escalation/link.ts'
import { createApp } from '../../src/http/app.ts'
import { signer } from '../../src/identity/keys.ts'
import { createSource } from '../../src/policy/source.ts'
import { collect, createLogWorld, createWitness, exportOf, manyOf, publish } from '../audit/log/build.ts'
import { wholeRecord } from '../audit/whole.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { delegate, exchange, GRANT, sending } from '../delegation/delegating.ts'
import { push as pushEvent, transmitting } from '../delegation/transmitting.ts'
import { createDesk, refund, submission } from '../escalation/world.ts'
import { ask as askTruth, at, createTruth, total } from '../facts/build.ts'
import { holder, prove } from '../identity/proofs.ts'
import { calm } from '../outside.ts'
import { createTally, type Tally, type Used } from './tally.ts'
import { createWorld, problemIn, type Sending, type World } from './world.ts'

/**
 * What calls cost, as docs/api.md tells it under "What a call costs": each of its rows has a case here, which counts, and
 * the numbers that its cells begin with are the ones that are counted. `also` are the cases that a row's prose tells of.
 */

afterEach(() => {
  clock.reset()
  calm()
})

const clerk = { type: 'Agent', id: 'clerk' }
const ask = (name: string, properties = {}, type = 'Account', id = 'a1') => ({
  subject: clerk,
  action: { name, properties },
  resource: { type, id },
})
const bank = () => createWorld({ folder: 'bank' })
const EVALUATE = '/access/v1/evaluation'

/** A call by the one who has the roles, over the counting isolate; its first is warm-up, and only the second counts. */
const twice = async (tally: Tally, call: () => Promise<Response>): Promise<Used> => {
  await tally.warm(call)
  return tally.of(call)
}
const caller = async (world: Pick<World, 'token'>, tally: Tally, ...roles: string[]): Promise<Sending> => ({
  token: await world.token({ sub: 'someone', roles }),
  send: tally.send,
})
const idOf = async (response: Promise<Response>): Promise<string> => {
  const { context } = await (await response).json<{ context: { evaluation_id: string } }>()
  return context.evaluation_id
}
/** Lets the receipts of an agent reach D1. */
const flushed = async (world: Pick<World, 'object'>) => {
  clock.advance(3_000)
  await runDurableObjectAlarm(world.object())
}

const PERSONAL = { settings: { privacy: { personal: [{ of: 'user' as const, fields: ['user' as const] }] } } }

type Case = {
  row: string
  /** Object calls, KV reads, D1 reads, D1 writes. */
  also?: { told: string; counts: [number, number, number, number] }
  run: (tally: Tally) => Promise<Used>
}

const evaluating = async (tally: Tally, what: unknown, world: Pick<World, 'agentToken' | 'post'>) => {
  const sending = { token: await world.agentToken(), send: tally.send }
  return twice(tally, () => world.post(EVALUATE, what, sending))
}
const truthfully = async (
  tally: Tally,
  what: unknown,
  prepare?: (world: Awaited<ReturnType<typeof createTruth>>) => Promise<unknown>,
) => {
  const world = await createTruth()
  await prepare?.(world)
  return evaluating(tally, what, world)
}
const requested = async () => {
  const desk = await createDesk()
  return { desk, ...(await desk.requested(refund(600))) }
}

/** Asks for the task of two requests that were made as one. */
const gathered = async (tally: Tally, query = '') => {
  const desk = await createDesk()
  const [one, two] = [submission(await desk.denied(refund(600))), submission(await desk.denied(refund(700)))]
  const items = [one, two].map(({ denial }, index) => ({ ...refund(600 + 100 * index), denial }))
  const { subject } = refund(600)
  const response = await desk.request({ subject, items })
  const { task } = await response.json<{ task: { id: string } }>()
  const sending = { token: desk.clerk, send: tally.send }
  return () => desk.send('GET', `/access/v1/requests/${task.id}${query}`, undefined, sending)
}

/** A tenant whose decision is in D1, and in the log under a checkpoint. */
const logged = async (tally: Tally, role = 'auditor') => {
  const world = await bank()
  const id = await idOf(world.post(EVALUATE, ask('view'), { token: await world.agentToken() }))
  await flushed(world)
  await publish(world.tenant)
  const sending = await caller(world, tally, role)
  const get = (path: string) => world.send('GET', path, undefined, sending)
  const post = (path: string, body = '') => world.send('POST', path, body, sending)
  return { world, id, get, post }
}
/** The same, with receipts that fill bundles of the log. */
const keeping = async (tally: Tally, receipts: number) => {
  const world = await createLogWorld({ log: { public: false, witnesses: [], keep: { days: 35, receipts: 10_000 } } })
  await collect(manyOf(world.tenant, receipts))
  await publish(world.tenant)
  const lines = await exportOf(world)
  clock.advance(400 * 86_400_000)
  const sending = await caller(world, tally, 'admin')
  const post = (path: string, body = '') => world.send('POST', path, body, sending)
  return { post, lines, warm: () => tally.warm(() => post('/v1/record/refill')) }
}

const OTHER = { type: 'Order', id: '8' }

const linkTo = async (desk: Awaited<ReturnType<typeof createDesk>>, task: string) =>
  linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: 'fay' } },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 3_600_000 },
  )

const cases: Case[] = [
  { row: 'evaluation', run: async tally => evaluating(tally, ask('view'), await bank()) },
  {
    row: 'evaluation',
    also: { told: 'with session, duties and budgets', counts: [1, 0, 0, 0] },
    run: async tally => evaluating(tally, ask('transfer', { amount: 1 }), await bank()),
  },
  {
    row: 'evaluation under a shared budget',
    run: async tally => evaluating(tally, ask('gift', { amount: 1 }), await bank()),
  },
  {
    row: 'evaluation under a shared budget',
    also: { told: 'where the agent holds too little', counts: [2, 0, 0, 0] },
    run: async tally => {
      const world = await bank()
      const sending = { token: await world.agentToken(), send: tally.send }
      await tally.warm(() => world.post(EVALUATE, ask('view'), sending))
      return tally.of(() => world.post(EVALUATE, ask('gift', { amount: 1 }), sending))
    },
  },
  {
    row: 'evaluations',
    run: async tally => {
      const world = await bank()
      const sending = { token: await world.agentToken(), send: tally.send }
      const batch = { ...ask('view'), evaluations: Array.from({ length: 20 }, () => ({})) }
      return twice(tally, () => world.post('/access/v1/evaluations', batch, sending))
    },
  },
  {
    row: '… whose policies ask for facts that are neither attested nor copied',
    run: async tally => truthfully(tally, askTruth('note', { text: 'x' }), world => world.push('orders', [total(5)])),
  },
  { row: '… that defers', run: async tally => truthfully(tally, askTruth('refund', { amount: 5 })) },
  {
    row: '… of an action whose outcome a fact tells, and that is neither attested nor copied',
    run: async tally => truthfully(tally, askTruth('pay', { payout: 'p-1', amount: 1 })),
  },
  {
    row: 'access request',
    run: async tally => {
      const desk = await createDesk()
      const sending = { token: desk.clerk, send: tally.send }
      await tally.warm(() => desk.post(EVALUATE, refund(600), sending))
      const denial = await desk.denied(refund(600))
      return tally.of(() => desk.post('/access/v1/requests', submission(denial), sending))
    },
  },
  {
    row: 'access request',
    also: { told: 'with an Idempotency-Key', counts: [2, 0, 0, 1] },
    run: async tally => {
      const desk = await createDesk()
      const sending = { token: desk.clerk, send: tally.send, headers: { 'idempotency-key': 'k' } }
      await tally.warm(() => desk.post(EVALUATE, refund(600), { ...sending, headers: {} }))
      const denial = await desk.denied(refund(600))
      return tally.of(() => desk.post('/access/v1/requests', submission(denial), sending))
    },
  },
  {
    row: 'task',
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: desk.clerk, send: tally.send }
      return twice(tally, () => desk.send('GET', `/access/v1/requests/${task}`, undefined, sending))
    },
  },
  {
    row: 'task',
    also: { told: 'until something happens', counts: [2, 0, 0, 0] },
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: desk.clerk, send: tally.send }
      return twice(tally, () => desk.send('GET', `/access/v1/requests/${task}?wait=0`, undefined, sending))
    },
  },
  {
    row: 'task',
    also: { told: 'of two requests', counts: [2, 0, 1, 0] },
    run: async tally => twice(tally, await gathered(tally)),
  },
  {
    row: 'task',
    also: { told: 'of two requests, until something happens', counts: [6, 0, 2, 0] },
    run: async tally => twice(tally, await gathered(tally, '?wait=0')),
  },
  {
    row: 'task',
    also: { told: 'over a socket', counts: [2, 0, 0, 0] },
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: desk.clerk, send: tally.send, headers: { upgrade: 'websocket' } }
      return twice(tally, async () => {
        const response = await desk.send('GET', `/access/v1/requests/${task}/socket`, undefined, sending)
        response.webSocket?.accept()
        response.webSocket?.close()
        return response
      })
    },
  },
  ...['POST', 'DELETE'].map(method => ({
    row: 'cancel',
    run: async (tally: Tally) => {
      const { desk, task } = await requested()
      const sending = { token: desk.clerk, send: tally.send }
      await tally.warm(() => desk.send('GET', `/access/v1/requests/${task}`, undefined, sending))
      return tally.of(() => desk.send(method, `/access/v1/requests/${task}/cancel`, undefined, sending))
    },
  })),
  {
    row: 'vote',
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: await desk.approver('fay'), send: tally.send }
      await tally.warm(() => desk.send('GET', '/v1/escalations', undefined, sending))
      return tally.of(() => desk.post(`/v1/escalations/${task}/votes`, { vote: 'approve' }, sending))
    },
  },
  {
    row: 'vote',
    also: { told: 'of two at once', counts: [6, 0, 0, 0] },
    run: async tally => {
      const { desk, task } = await requested()
      const { task: other } = await desk.requested(refund(700))
      const sending = { token: await desk.approver('fay'), send: tally.send }
      await tally.warm(() => desk.send('GET', '/v1/escalations', undefined, sending))
      const votes = [task, other].map(one => ({ task: one, vote: 'approve' }))
      return tally.of(() => desk.post('/v1/escalations/votes', { votes }, sending))
    },
  },
  {
    row: 'approval taken back',
    run: async tally => {
      const desk = await createDesk()
      const { task } = await desk.approved(refund(600))
      const sending = { token: await desk.approver('fay'), send: tally.send }
      return twice(tally, () => desk.send('POST', `/v1/escalations/${task}/revoke`, undefined, sending))
    },
  },
  {
    row: 'escalation',
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: await desk.approver('fay'), send: tally.send }
      return twice(tally, () => desk.send('GET', `/v1/escalations/${task}`, undefined, sending))
    },
  },
  ...['/v1/escalations', '/v1/escalations/load'].map(path => ({
    row: 'escalations, load',
    run: async (tally: Tally) => {
      const desk = await createDesk()
      const sending = await caller(desk, tally, 'admin')
      return twice(tally, () => desk.send('GET', path, undefined, sending))
    },
  })),
  {
    row: "the approver's page",
    run: async tally => {
      const { desk, task } = await requested()
      const link = await linkTo(desk, task)
      return twice(tally, () => desk.send('GET', link, undefined, { send: tally.send }))
    },
  },
  {
    row: "the approver's page",
    also: { told: 'answered', counts: [3, 0, 0, 0] },
    run: async tally => {
      const { desk, task } = await requested()
      const link = await linkTo(desk, task)
      const body = 'vote=approve&reason=ok'
      const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
      await tally.warm(() => desk.send('GET', link, undefined, { send: tally.send }))
      return tally.of(() => desk.send('POST', link, body, { headers, send: tally.send }))
    },
  },
  ...[1, 2].map(
    (waiting): Case => ({
      row: 'requests like each other, on one page',
      ...(waiting > 1 && { also: { told: 'of which two wait', counts: [3, 0, 1, 0] } }),
      run: async tally => {
        const { desk, task } = await requested()
        const { task: other } = waiting > 1 ? await desk.requested(refund(700)) : { task }
        for (const one of [task, other]) await desk.later(one, 10)
        const link = await linkTo(desk, task)
        return twice(tally, () => desk.send('GET', `${link}/like`, undefined, { send: tally.send }))
      },
    }),
  ),
  {
    row: 'requests like each other, on one page',
    also: { told: 'where two are answered', counts: [8, 0, 0, 0] },
    run: async tally => {
      const { desk, task } = await requested()
      const { task: other } = await desk.requested(refund(700))
      for (const one of [task, other]) await desk.later(one, 10)
      const link = await linkTo(desk, task)
      const page = await (await desk.send('GET', `${link}/like`, undefined, { send: tally.send })).text()
      const body = [task, other]
        .map(one => {
          const [, shown] = new RegExp(`name="shown:${one}" value="([^"]+)"`).exec(page) ?? []
          return `vote:${one}=approve&shown:${one}=${shown}`
        })
        .join('&')
      const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
      await tally.warm(() => desk.send('GET', link, undefined, { send: tally.send }))
      return tally.of(() => desk.send('POST', `${link}/like`, body, { headers, send: tally.send }))
    },
  },
  {
    row: 'POST facts',
    run: async tally => {
      const world = await createTruth()
      const sending = { token: await world.sourceToken('orders'), send: tally.send }
      return twice(tally, () => world.post('/v1/facts', { facts: [total(5)] }, sending))
    },
  },
  {
    row: 'POST facts',
    also: { told: 'for which someone waits', counts: [1, 0, 1, 2] },
    run: async tally => {
      const world = await createTruth()
      const sending = { token: await world.sourceToken('orders'), send: tally.send }
      await tally.warm(() => world.post('/v1/facts', { facts: [total(5, { entity: OTHER })] }, sending))
      await world.evaluate(askTruth('refund', { amount: 5 }), { token: await world.agentToken() })
      return tally.of(() => world.post('/v1/facts', { facts: [total(5)] }, sending))
    },
  },
  {
    row: 'POST facts',
    also: { told: 'that tell an outcome', counts: [1, 0, 3, 2] },
    run: async tally => {
      const world = await createTruth()
      const sending = { token: await world.sourceToken('bank'), send: tally.send }
      const status = () => ({
        entity: { type: 'Payout', id: 'p-1' },
        predicate: 'status',
        value: 'paid',
        observed_at: at(0),
      })
      await world.evaluate(askTruth('pay', { payout: 'p-1', amount: 1 }), { token: await world.agentToken() })
      clock.advance(10)
      await tally.warm(() => world.post('/v1/facts', { facts: [{ ...status(), value: 'sent' }] }, sending))
      clock.advance(10)
      return tally.of(() => world.post('/v1/facts', { facts: [status()] }, sending))
    },
  },
  {
    row: 'facts, verify',
    run: async tally => {
      const world = await createTruth()
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', '/v1/facts?type=Order&id=7', undefined, sending))
    },
  },
  {
    row: 'facts, verify',
    run: async tally => {
      const world = await createTruth()
      const sending = await caller(world, tally, 'pep')
      const claims = [{ name: 'orderTotal', entity: { type: 'Order', id: '7' }, value: 5 }]
      return twice(tally, () => world.post('/v1/facts/verify', { claims }, sending))
    },
  },
  {
    row: 'waits',
    run: async tally => {
      const world = await createTruth()
      const sending = { token: await world.agentToken(), send: tally.send }
      const id = await idOf(world.post(EVALUATE, askTruth('refund', { amount: 5 }), sending))
      return twice(tally, () => world.send('GET', `/v1/waits/Agent/clerk/${id}`, undefined, sending))
    },
  },
  ...[
    { path: '/access/v1/search/resource', query: { action: { name: 'view' }, resource: { type: 'Account' } } },
    { path: '/access/v1/search/action', query: { resource: { type: 'Account', id: 'a1' } } },
    { path: '/v1/scope', query: { action: { name: 'view' }, resource: { type: 'Account' } } },
  ].map(({ path, query }) => ({
    row: 'search, scope',
    run: async (tally: Tally) => {
      const world = await bank()
      const sending = { token: await world.agentToken(), send: tally.send }
      return twice(tally, () => world.post(path, { subject: clerk, ...query }, sending))
    },
  })),
  {
    row: 'search, scope',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'pep')
      const query = { subject: { type: 'Agent' }, action: { name: 'view' }, resource: { type: 'Account', id: 'a1' } }
      return twice(tally, () => world.post('/access/v1/search/subject', query, sending))
    },
  },
  {
    row: 'search, scope',
    also: { told: 'in the session of a child, under a policy about the whole tree', counts: [2, 0, 0, 0] },
    run: async tally => {
      const world = await bank()
      const child = await delegate(world, await world.agentToken(), { agent: 'helper' })
      const path = '/access/v1/search/resource'
      const action = { name: 'post', properties: { to: 'x@evil.example' } }
      const query = { subject: { type: 'Agent', id: 'helper' }, action, resource: { type: 'Mailbox' } }
      return twice(tally, async () =>
        world.post(path, query, { ...(await sending(world, child, path)), send: tally.send }),
      )
    },
  },
  {
    row: 'outcome',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'pep')
      const id = await idOf(world.post(EVALUATE, ask('transfer', { amount: 1 }), { token: await world.agentToken() }))
      await tally.warm(() => world.post(EVALUATE, ask('view'), sending))
      return tally.of(() => world.post(`/v1/decisions/${id}/outcome`, { outcome: 'done', subject: clerk }, sending))
    },
  },
  {
    row: 'outcome',
    also: { told: 'without the subject of the decision', counts: [1, 0, 1, 0] },
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'pep')
      const id = await idOf(world.post(EVALUATE, ask('transfer', { amount: 1 }), { token: await world.agentToken() }))
      await flushed(world)
      await tally.warm(() => world.post(EVALUATE, ask('view'), sending))
      return tally.of(() => world.post(`/v1/decisions/${id}/outcome`, { outcome: 'done' }, sending))
    },
  },
  {
    row: 'outcome',
    also: { told: 'of which nothing is awaited', counts: [2, 0, 1, 0] },
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'pep')
      const id = await idOf(world.post(EVALUATE, ask('view'), { token: await world.agentToken() }))
      await flushed(world)
      await tally.warm(() => world.post(EVALUATE, ask('view'), sending))
      return tally.of(() => world.post(`/v1/decisions/${id}/outcome`, { outcome: 'done', subject: clerk }, sending))
    },
  },
  {
    row: 'redeem',
    run: async tally => {
      const world = await bank()
      const token = await world.agentToken()
      await world.evaluate(ask('view'), { token })
      const { permit } = (await world.evaluate(ask('wire', { amount: 1 }), { token })).context
      const sending = await caller(world, tally, 'pep')
      await tally.warm(() => world.post(EVALUATE, ask('view'), sending))
      return tally.of(() => world.post('/v1/permits/redeem', { permit }, sending))
    },
  },
  {
    row: 'kills',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'admin')
      const body = { target: { kind: 'action', id: 'view' }, reason: 'r' }
      return twice(tally, () => world.post('/v1/kills', body, sending))
    },
  },
  {
    row: 'kills',
    also: { told: 'of an agent, which is told', counts: [2, 0, 1, 0] },
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'admin')
      const body = { target: { kind: 'agent', ...clerk }, reason: 'r' }
      return twice(tally, () => world.post('/v1/kills/lift', body, sending))
    },
  },
  {
    row: 'kills, listed',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.send('GET', '/v1/kills', undefined, sending))
    },
  },
  ...[
    '/.well-known/jwks.json',
    '/.well-known/authzen-configuration',
    '/access/v1/request-schemas/justification.json',
    '/healthz',
    '/openapi.json',
  ].map(path => ({
    row: 'metadata, keys',
    run: async (tally: Tally) => {
      const world = await bank()
      return twice(tally, () => world.send('GET', path, undefined, { send: tally.send }))
    },
  })),
  ...['', '/session'].map(path => ({
    row: 'agent, session',
    run: async (tally: Tally) => {
      const world = await bank()
      await world.evaluate(ask('view'), { token: await world.agentToken() })
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.send('GET', `/v1/agents/Agent/clerk${path}`, undefined, sending))
    },
  })),
  ...['/v1/receipts', '/v1/decisions/'].map(path => ({
    row: 'receipts, decision',
    run: async (tally: Tally) => {
      const world = await bank()
      const id = await idOf(world.post(EVALUATE, ask('view'), { token: await world.agentToken() }))
      await flushed(world)
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', path.endsWith('/') ? path + id : path, undefined, sending))
    },
  })),
  {
    row: 'decision, judged again',
    run: async tally => {
      const world = await bank()
      const id = await idOf(world.post(EVALUATE, ask('view'), { token: await world.agentToken() }))
      await flushed(world)
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', `/v1/decisions/${id}/again`, undefined, sending))
    },
  },
  {
    row: 'backlog',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', '/v1/backlog', undefined, sending))
    },
  },
  {
    row: 'token exchange',
    run: async tally => {
      const world = await createWorld()
      const params = { subject: await world.agentToken(), jkt: (await holder()).jkt, agent: 'helper', send: tally.send }
      return twice(tally, () => exchange(world, params))
    },
  },
  {
    row: 'token exchange',
    also: { told: 'that counts', counts: [2, 0, 1, 1] },
    run: async tally => {
      const world = await createWorld()
      const details = [{ ...GRANT, actions: ['refund'], uses: 3 }]
      const params = { subject: await world.agentToken(), jkt: (await holder()).jkt, agent: 'helper', details }
      return twice(tally, () => exchange(world, { ...params, send: tally.send }))
    },
  },
  {
    row: "… first about somebody whom the tenant's `privacy` covers, in an isolate",
    run: async tally => {
      const world = await createWorld(PERSONAL)
      const about = async (id: string) => {
        const user = { type: 'User', id }
        const token = await world.agentToken('clerk', { user, admit: true })
        return world.post(EVALUATE, ask('read', {}, 'Order', '7'), { token, send: tally.send })
      }
      await tally.warm(() => about('ada'))
      return tally.of(() => about('ben'))
    },
  },
  {
    row: 'erasure',
    run: async tally => {
      const world = await createWorld(PERSONAL)
      for (const id of ['ada', 'ben']) {
        const token = await world.agentToken('clerk', { user: { type: 'User', id }, admit: true })
        await world.post(EVALUATE, ask('read', {}, 'Order', '7'), { token })
      }
      const sending = await caller(world, tally, 'admin')
      const erase = (id: string) => world.post('/v1/erasures', { subject: { type: 'User', id }, reason: 'r' }, sending)
      await tally.warm(() => erase('ada'))
      return tally.of(() => erase('ben'))
    },
  },
  {
    row: 'whoami',
    run: async tally => {
      const world = await createWorld()
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', '/v1/whoami', undefined, sending))
    },
  },
  {
    row: 'token exchange',
    also: { told: 'to another agent, where policies read sessions', counts: [2, 0, 1, 1] },
    run: async tally => {
      const world = await bank()
      const params = { subject: await world.agentToken(), jkt: (await holder()).jkt, agent: 'helper', send: tally.send }
      return twice(tally, () => exchange(world, params))
    },
  },
  {
    row: '… for more than there is, while humans are asked',
    run: async tally => {
      const world = await createWorld({
        folder: 'approvals',
        settings: { exchange: { widening: { escalate: 'finance' } } },
      })
      const details = (id: string) => [{ ...GRANT, actions: ['refund'], resources: [{ type: 'Order', id }] }]
      const parent = await delegate(world, await world.agentToken(), { details: details('7') })
      const { jkt } = await holder()
      return tally.counted(async () => {
        const proof = await prove(parent.key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
        const params = { subject: parent.token, agent: 'helper', details: details('8'), jkt, proof, send: tally.send }
        const response = await exchange(world, params)
        expect(await response.json()).toMatchObject({ error: 'authorization_pending' })
      })
    },
  },
  ...[
    { told: 'that has nothing to tell', learned: false, tree: false, counts: undefined },
    { told: 'two agents below the first, that learned something', learned: true, tree: false, counts: 3 },
    { told: 'and hangs on the whole tree', learned: false, tree: true, counts: 2 },
  ].map(
    ({ told, learned, tree, counts }): Case => ({
      row: 'evaluation in a session that a delegation began',
      ...(counts !== undefined && { also: { told, counts: [counts, 0, 0, 0] } }),
      run: async tally => {
        const world = await bank()
        const parent = await delegate(world, await world.agentToken(), { agent: 'helper' })
        const child = await delegate(world, parent, { agent: 'runner' })
        const decide = async (what: ReturnType<typeof ask>) => {
          const body = { ...what, subject: { type: 'Agent', id: 'runner' } }
          return world.post(EVALUATE, body, { ...(await sending(world, child, EVALUATE)), send: tally.send })
        }
        const post = ask('post', { to: 'x@evil.example' }, 'Mailbox', 'out')
        const again = tree ? post : ask('view')
        await tally.warm(() => decide(learned ? ask('close', { amount: 1 }) : again))
        return tally.of(() => decide(again))
      },
    }),
  ),
  {
    row: '… under a `@session("tree")` policy, at the root',
    run: async tally => evaluating(tally, ask('post', { to: 'x@evil.example' }, 'Mailbox', 'out'), await bank()),
  },
  {
    row: 'whoami',
    also: { told: 'for agents', counts: [1, 0, 0, 0] },
    run: async tally => {
      const world = await createWorld()
      const details = [{ ...GRANT, actions: ['refund'], uses: 3 }]
      const child = await delegate(world, await world.agentToken(), { agent: 'helper', details })
      const who = async () =>
        world.send('GET', '/v1/whoami', undefined, {
          headers: {
            authorization: `DPoP ${child.token}`,
            dpop: await prove(child.key, {
              method: 'GET',
              url: `${world.identifier}/v1/whoami`,
              now: clock.now(),
              token: child.token,
            }),
          },
          send: tally.send,
        })
      return twice(tally, who)
    },
  },
  ...['proof', 'signed'].map(path => ({
    row: 'proof, signed',
    run: async (tally: Tally) => {
      const { id, get } = await logged(tally)
      return twice(tally, () => get(`/v1/decisions/${id}/${path}`))
    },
  })),
  ...['checkpoint', 'tile/0/000.p/2', 'tile/entries/000.p/2', 'consistency?from=1&to=2'].map(path => ({
    row: 'log: checkpoint, tiles, consistency',
    run: async (tally: Tally) => {
      const { get } = await logged(tally)
      return twice(tally, () => get(`/v1/log/${path}`))
    },
  })),
  {
    row: 'log: a bundle',
    run: async tally => {
      const { get } = await logged(tally)
      return twice(tally, () => get('/v1/log/bundles/0?size=2'))
    },
  },
  {
    row: 'log: a bundle',
    also: { told: 'from the agents that made its receipts', counts: [1, 0, 0, 0] },
    run: async tally => {
      const { get } = await logged(tally)
      return twice(tally, () => get('/v1/log/bundles/0?size=2&source=agents'))
    },
  },
  {
    row: 'log: cosignatures',
    run: async tally => {
      const witness = await createWitness()
      const world = await createLogWorld({ log: { public: false, witnesses: [witness.key] } })
      await collect(manyOf(world.tenant, 3))
      await publish(world.tenant)
      const lines = await witness.lineFor(await (await world.get('/v1/log/checkpoint')).text())
      const sending = { ...(await caller(world, tally, 'auditor')), headers: { 'content-type': 'text/plain' } }
      return twice(tally, () => world.send('POST', '/v1/log/cosignatures?size=4', lines, sending))
    },
  },
  {
    row: 'record: archive',
    run: async tally => {
      const { post } = await keeping(tally, 3)
      return twice(tally, () => post('/v1/record/archive'))
    },
  },
  {
    row: 'record: archive',
    also: { told: 'of which two bundles are due', counts: [0, 0, 3, 2] },
    run: async tally => {
      const { post, warm } = await keeping(tally, 600)
      await warm()
      return tally.of(() => post('/v1/record/archive'))
    },
  },
  {
    row: 'record: restore',
    run: async tally => {
      const { post, lines } = await keeping(tally, 3)
      const receipts = lines.filter(line => line.startsWith('{"type":"receipt"')).join('\n')
      return twice(tally, () => post('/v1/record/restore/0', receipts))
    },
  },
  {
    row: 'record: refill',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.send('POST', '/v1/record/refill', '', sending))
    },
  },
  {
    row: 'record: refill',
    also: { told: 'of two chains', counts: [3, 0, 0, 0] },
    run: async tally => {
      const { world, post } = await logged(tally, 'admin')
      await world.evaluate(
        { ...ask('view'), subject: { type: 'Agent', id: 'helper' } },
        { token: await world.agentToken('helper') },
      )
      clock.advance(3_000)
      await runDurableObjectAlarm(world.object('helper'))
      await publish(world.tenant)
      return twice(tally, () => post('/v1/record/refill'))
    },
  },
  {
    row: 'security event',
    run: async tally => {
      const world = await transmitting()
      return twice(tally, () => pushEvent(world, {}, {}, tally.send))
    },
  },
  {
    row: 'log',
    run: async tally => {
      const world = await bank()
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', '/v1/log', undefined, sending))
    },
  },
  {
    row: 'webhook secrets',
    run: async tally => {
      const desk = await createDesk()
      const sending = await caller(desk, tally, 'admin')
      return twice(tally, () => desk.post('/v1/webhooks/fay/secrets', {}, sending))
    },
  },
  {
    row: 'webhook deliveries',
    run: async tally => {
      const desk = await createDesk()
      const sending = await caller(desk, tally, 'admin')
      return twice(tally, () => desk.send('GET', '/v1/webhooks/deliveries', undefined, sending))
    },
  },
  {
    row: 'webhook delivery, sent again',
    run: async tally => {
      const { desk, task } = await requested()
      const sending = await caller(desk, tally, 'admin')
      return twice(tally, () => desk.post('/v1/webhooks/deliveries/none/replay', { task }, sending))
    },
  },
  {
    row: 'delegations',
    run: async tally => {
      const world = await createWorld()
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.send('GET', '/v1/delegations', undefined, sending))
    },
  },
  ...['suspend', 'resume'].map(change => ({
    row: 'suspend, resume',
    run: async (tally: Tally) => {
      const world = await createWorld()
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.post(`/v1/agents/Agent/clerk/${change}`, { reason: 'r' }, sending))
    },
  })),
  {
    row: 'suspend, resume',
    also: { told: 'of who handed something on', counts: [2, 0, 2, 1] },
    run: async tally => {
      const world = await createWorld()
      await delegate(world, await world.agentToken(), { agent: 'helper' })
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.post('/v1/agents/Agent/clerk/suspend', { reason: 'r' }, sending))
    },
  },
  ...['revoke', 'restore'].map(change => ({
    row: 'revoke, restore',
    run: async (tally: Tally) => {
      const world = await createWorld()
      const { id } = await delegate(world, await world.agentToken(), { agent: 'helper' })
      const sending = await caller(world, tally, 'admin')
      const call = (what: string) => world.post(`/v1/delegations/${id}/${what}`, { reason: 'r' }, sending)
      await tally.warm(() => call('revoke'))
      return tally.of(() => call(change))
    },
  })),
]

/** The table: by row, the numbers that its cells begin with. */
const documented = new Map(
  api
    .slice(api.indexOf('## What a call costs'))
    .split('\n')
    .filter(line => /^\| [^|]+ \| \d/.test(line))
    .map(line => {
      const [row = '', ...cells] = line.split(/ ?\| ?/).slice(1, -1)
      return [row, cells.map(cell => Number.parseInt(cell, 10))] as const
    }),
)

/** What the cases called: methods and paths, less the tenant. */
const called = new Set<string>()

describe('what calls cost once warm', () => {
  it('is told of all that is counted, and counted for all that is told', () => {
    const counted = cases.filter(({ also }) => also === undefined).map(({ row }) => row)
    expect(new Set(counted)).toEqual(new Set(documented.keys()))
  })

  it.each(cases.map(one => [one.also ? `${one.row}: ${one.also.told}` : one.row, one] as const))(
    '%s',
    async (_, { row, also, run }) => {
      const tally = createTally()
      const { objects, kv, reads, writes } = await run(tally)
      for (const call of tally.calls) called.add(call)
      const expected = also?.counts ?? documented.get(row)
      expect({ counts: [objects.length, kv, reads, writes], objects }).toEqual({ counts: expected, objects })
    },
  )

  it('is told of calls whose every receipt verifies', async () => {
    const { kinds, wrong } = await wholeRecord()
    expect(wrong).toEqual([])
    expect([...kinds]).toEqual(expect.arrayContaining(['decision', 'search', 'scope', 'whoami', 'erasure', 'kill']))
  })

  it('is told of all that may be called', () => {
    const { routes } = createApp({ now: Date.now, source: createSource() })
    const left = routes
      .filter(({ method }) => method !== 'ALL')
      .filter(({ method, path }) => {
        const parts = path.split(/:\w+(?:\{[^/]*\})?/).map(part => part.replaceAll('.', '\\.'))
        const end = path.endsWith('}') ? '.+' : '[^/]+'
        const route = parts.reduce(
          (start, part, at) => start + (at === parts.length - 1 && part === '' ? end : '[^/]+') + part,
        )
        return ![...called].some(call => new RegExp(`^${method} (/t-[^/]+)?${route}$`).test(call))
      })
    expect(new Set(left.map(({ method, path }) => `${method} ${path}`))).toEqual(new Set())
  })
})

describe('a flood', () => {
  it('is shed before anything is judged: 429, not a decision, no call', async () => {
    const limits: string[] = []
    const flooded = createIsolate(
      {},
      { FLOOD: { limit: async ({ key }: { key: string }) => ({ success: limits.push(key) < 3 }) } as RateLimit },
    )
    const world = await bank()
    const send = async (token: string) =>
      world.post('/access/v1/evaluation', ask('view'), { token, send: flooded.send })
    const token = await world.agentToken()
    for (let calls = 0; calls < 2; calls++) expect((await send(token)).status).toBe(200)
    flooded.uses()
    expect(await problemIn(await send(token))).toMatchObject({ status: 429, reason: 'flood', retry_after: 60 })
    expect(flooded.uses()).toEqual([])
    expect(new Set(limits).size).toBe(1)
  })

  it('is never shed below ten times what the tenant grants', async () => {
    const generous = await createWorld({
      folder: 'bank',
      change: bundle => {
        bundle.settings.limits.attempts = '30000/m'
      },
    })
    const never = { limit: () => Promise.reject(new Error('asked')) } as unknown as RateLimit
    const { send } = createIsolate({}, { FLOOD: never })
    expect((await generous.evaluate(ask('view'), { token: await generous.agentToken(), send })).decision).toBe(true)
  })
})

import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it } from 'vitest'
import api from '../../docs/api.md?raw'
import { logOf } from '../../src/audit/log/names.ts'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { delegate, exchange, GRANT, sending } from '../delegation/delegating.ts'
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
    row: 'cancel',
    run: async tally => {
      const { desk, task } = await requested()
      const sending = { token: desk.clerk, send: tally.send }
      await tally.warm(() => desk.send('GET', `/access/v1/requests/${task}`, undefined, sending))
      return tally.of(() => desk.send('POST', `/access/v1/requests/${task}/cancel`, undefined, sending))
    },
  },
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
  {
    row: 'search, scope',
    run: async tally => {
      const world = await bank()
      const sending = { token: await world.agentToken(), send: tally.send }
      const query = { subject: clerk, action: { name: 'view' }, resource: { type: 'Account' } }
      return twice(tally, () => world.post('/access/v1/search/resource', query, sending))
    },
  },
  {
    row: 'search, scope',
    run: async tally => {
      const world = await bank()
      const sending = { token: await world.agentToken(), send: tally.send }
      const query = { subject: clerk, action: { name: 'view' }, resource: { type: 'Account' } }
      return twice(tally, () => world.post('/v1/scope', query, sending))
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
  ...['/.well-known/jwks.json', '/.well-known/authzen-configuration'].map(path => ({
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
      const world = await bank()
      const id = await idOf(world.post(EVALUATE, ask('view'), { token: await world.agentToken() }))
      await flushed(world)
      clock.advance(3_000)
      await runDurableObjectAlarm(logOf(env.LOG, world.tenant))
      const sending = await caller(world, tally, 'auditor')
      return twice(tally, () => world.send('GET', `/v1/decisions/${id}/${path}`, undefined, sending))
    },
  })),
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
  {
    row: 'revoke, restore',
    run: async tally => {
      const world = await createWorld()
      const { id } = await delegate(world, await world.agentToken(), { agent: 'helper' })
      const sending = await caller(world, tally, 'admin')
      return twice(tally, () => world.post(`/v1/delegations/${id}/revoke`, { reason: 'r' }, sending))
    },
  },
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

describe('what calls cost once warm', () => {
  it('is told of all that is counted, and counted for all that is told', () => {
    const counted = cases.filter(({ also }) => also === undefined).map(({ row }) => row)
    expect(new Set(counted)).toEqual(new Set(documented.keys()))
  })

  it.each(cases.map(one => [one.also ? `${one.row}: ${one.also.told}` : one.row, one] as const))(
    '%s',
    async (_, { row, also, run }) => {
      const { objects, kv, reads, writes } = await run(createTally())
      const expected = also?.counts ?? documented.get(row)
      expect({ counts: [objects.length, kv, reads, writes], objects }).toEqual({ counts: expected, objects })
    },
  )
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

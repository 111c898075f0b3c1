import { runDurableObjectAlarm } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { answerIn, createWorld, problemIn, type World } from './world.ts'

const bank = () => createWorld({ folder: 'bank' })

const ask = (name: string, properties: Record<string, unknown> = {}, context?: Record<string, unknown>, id = 'a1') => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name, properties },
  resource: name === 'mail' ? { type: 'Mailbox', id: 'out' } : { type: 'Account', id },
  ...(context && { context }),
})
const dutiful = { ticket: 'T-1', justification: 'the customer asked' }

/** Decides as the agent itself, in a session. */
const asker = async (world: World, session = 's1') => {
  const token = await world.agentToken('clerk', { sid: session })
  return async (...what: Parameters<typeof ask>) => (await world.evaluate(ask(...what), { token })).context
}

describe('a budget', () => {
  it('adds up an argument, and what is exhausted is denied with the time to wait', async () => {
    const world = await bank()
    const decide = await asker(world)
    expect(await decide('transfer', { amount: 900 })).toMatchObject({ outcome: 'allow' })
    const denied = await decide('transfer', { amount: 101 })
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'budget_exhausted' })
    expect(denied.retry_after).toBeGreaterThan(86_000)
    expect(await decide('transfer', { amount: 100 })).toMatchObject({ outcome: 'allow' })
  })

  it('is never given back by a negative amount', async () => {
    const decide = await asker(await bank())
    expect(await decide('transfer', { amount: -5 })).toMatchObject({ outcome: 'deny', reason: 'policy_error' })
  })
})

describe('limits show', () => {
  const headers = async (world: World, asked: unknown, token: string) => {
    const response = await world.post('/access/v1/evaluation', asked, { token })
    return ['ratelimit-policy', 'ratelimit', 'retry-after'].map(name => response.headers.get(name))
  }

  it('in headers, the one with the least room, and by its name only to those who may know it', async () => {
    const world = await bank()
    const token = await world.pepToken()
    const transfer = (amount: number) => ask('transfer', { amount })
    expect(await headers(world, transfer(10), token)).toEqual([
      '"transfer-pace";q=50;w=3600',
      '"transfer-pace";r=49',
      null,
    ])
    expect(await headers(world, transfer(890), token)).toEqual([
      '"transfer-budget";q=1000;w=86400',
      '"transfer-budget";r=100',
      null,
    ])
    const [policy, left, wait] = await headers(world, transfer(101), await world.agentToken())
    expect([policy, left]).toEqual(['"limit";q=1000;w=86400', `"limit";r=100;t=${wait}`])
    expect(Number(wait)).toBeGreaterThan(86_000)
    expect(await headers(world, ask('view'), token)).toEqual([null, null, null])
  })
})

describe('a session', () => {
  it('after reading confidential data, mail goes nowhere outside', async () => {
    const world = await bank()
    const decide = await asker(world)
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'allow' })
    expect(await decide('view')).toMatchObject({ outcome: 'allow' })
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'allow' })
    expect(await decide('view', {}, undefined, 'a2')).toMatchObject({ outcome: 'allow' })
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    expect(await decide('mail', { to: 'x@bank.example' })).toMatchObject({ outcome: 'allow' })
    const other = await asker(world, 's2')
    expect(await other('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'allow' })
  })

  it('knows what was read by a filter, of the highest class that a row may have', async () => {
    const world = await bank()
    const token = await world.agentToken('clerk', { sid: 's1' })
    const decide = await asker(world)
    const filter = async (name: string) => {
      const asked = { subject: { type: 'Agent', id: 'clerk' }, action: { name }, resource: { type: 'Account' } }
      return (await (await world.post('/v1/scope', asked, { token })).json()) as { scope: string }
    }
    expect(await filter('close')).toMatchObject({ scope: 'never' })
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'allow' })
    expect(await filter('view')).toMatchObject({ scope: 'always' })
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    const trace = await world.object().session('s1')
    expect(trace).toMatchObject({ state: { steps: 2, level: 3, resources: ['Account::"*"', 'Mailbox::"out"'] } })
    expect(trace).not.toHaveProperty('wrong')
    const scoped = (await world.receipts()).filter(({ kind }) => kind === 'scope').map(({ body }) => JSON.parse(body))
    expect(scoped.map(({ scope }) => scope.session)).toEqual([undefined, { seq: 2, hash: trace?.steps[1]?.hash }])
  })

  it('reads what has no class as of the highest', async () => {
    const decide = await asker(await bank())
    await decide('view', {}, undefined, 'a3')
    expect(await decide('mail', { to: 'x@evil.example' })).toMatchObject({ reason: 'forbidden' })
  })

  it('remembers only what was allowed', async () => {
    const decide = await asker(await bank())
    expect(await decide('wire', { amount: 1 })).toMatchObject({ outcome: 'deny', reason: 'not_permitted' })
    await decide('view')
    expect(await decide('wire', { amount: 1 })).toMatchObject({ outcome: 'allow' })
  })

  it('of a gateway is the one that it names', async () => {
    const world = await bank()
    const token = await world.pepToken()
    const decide = async (session_id: string, ...[name, properties]: Parameters<typeof ask>) =>
      (await world.evaluate(ask(name, properties, { session_id }), { token })).context.outcome
    expect(await decide('x', 'view')).toBe('allow')
    expect(await decide('y', 'wire', { amount: 1 })).toBe('deny')
    expect(await decide('x', 'wire', { amount: 1 })).toBe('allow')
  })

  it('that a gateway names so that it is like no other, or like many, is refused', async () => {
    const world = await bank()
    const token = await world.pepToken()
    for (const session_id of [7, '', 'x'.repeat(513), null, { id: 'x' }]) {
      const { context } = await world.evaluate(ask('view', {}, { session_id }), { token })
      expect(context).toMatchObject({ reason: 'schema_mismatch', problems: [{ pointer: '/context/session_id' }] })
    }
    // the longest is one that can be stopped
    const id = 'x'.repeat(512)
    const reasonOf = async () => (await world.evaluate(ask('view', {}, { session_id: id }), { token })).context.reason
    expect(await reasonOf()).toBe('permitted')
    const killing = { target: { kind: 'session', id }, reason: 'r', agent: { type: 'Agent', id: 'clerk' } }
    await world.post('/v1/kills', killing, { token: await world.token({ roles: ['admin'] }) })
    expect(await reasonOf()).toBe('killed')
  })

  it('is committed to by what was denied, too: it says by which state that was judged', async () => {
    const world = await bank()
    const decide = await asker(world)
    await decide('view', {}, undefined, 'a2')
    await decide('mail', { to: 'x@evil.example' })
    const [allowed, denied] = (await world.receipts()).map(({ body }) => JSON.parse(body).decision)
    expect(allowed.session).toMatchObject({ seq: 1 })
    expect(denied).toMatchObject({ outcome: 'deny', session: allowed.session })
  })
})

describe('what nobody has told', () => {
  it('defers by its name, and a gateway may tell it', async () => {
    const world = await bank()
    const decide = await asker(world)
    await decide('view')
    expect(await decide('wire', { amount: 1 }, undefined, 'new')).toMatchObject({
      outcome: 'defer',
      reason: 'facts_missing',
      missing: [{ name: 'resource.owner', sources: [] }],
    })
    const pep = { token: await world.pepToken() }
    const told = (owner: string) => ({
      ...ask('wire', { amount: 1 }, { session_id: 's1' }),
      resource: { type: 'Account', id: 'new', properties: { owner } },
    })
    expect((await world.evaluate(told('ann'), pep)).context.outcome).toBe('allow')
    expect((await world.evaluate(told('frozen'), pep)).context.reason).toBe('forbidden')
  })
})

describe('duties', () => {
  it('fields that a policy demands are given, or the request is denied and told which', async () => {
    const decide = await asker(await bank())
    expect(await decide('pay', { amount: 1 }, { ticket: 'T-1', justification: '  ' })).toMatchObject({
      outcome: 'deny',
      reason: 'duty_missing',
      missing: [{ name: 'context.justification', sources: [] }],
    })
    expect(await decide('pay', { amount: 1 }, { ticket: 7, justification: 'x' })).toMatchObject({
      missing: [{ name: 'context.ticket', sources: [] }],
    })
    expect(await decide('pay', { amount: 1 }, dutiful)).toMatchObject({ outcome: 'allow' })
  })

  it('come as obligations, and what was given is on record as a commitment', async () => {
    const world = await bank()
    const decide = await asker(world)
    const { evaluation_id, evaluated_at, obligations } = await decide('pay', { amount: 1 }, dutiful)
    expect(obligations).toEqual([
      {
        id: 'log',
        type: 'custom',
        properties: { vendor: 'countersign', action: 'log', fields: ['justification', 'ticket'] },
      },
      {
        id: 'report',
        type: 'custom',
        properties: {
          vendor: 'countersign',
          action: 'report',
          due_at: new Date(Date.parse(evaluated_at) + 900_000).toISOString(),
          path: `/v1/decisions/${evaluation_id}/outcome`,
        },
      },
    ])
    const [receipt] = await world.receipts()
    expect(receipt?.body).not.toContain('the customer asked')
    expect(JSON.parse(receipt?.secrets ?? '').fields.value).toEqual(dutiful)
  })

  it('that the caller says it cannot carry out deny; what we did not advertise is ignored', async () => {
    const decide = await asker(await bank())
    const declare = (supported_obligations: unknown) => ({ ...dutiful, supported_obligations })
    expect(await decide('pay', { amount: 1 }, declare(['step-up', 'notification']))).toMatchObject({
      outcome: 'deny',
      reason: 'obligation_unsupported',
    })
    expect(await decide('pay', { amount: 1 }, declare(['step-up', 'custom']))).toMatchObject({ outcome: 'allow' })
  })

  it('are advertised in the metadata', async () => {
    const world = await bank()
    const response = await world.send(
      'GET',
      `https://pdp.example.com/.well-known/authzen-configuration/${world.tenant}`,
      undefined,
    )
    expect(await response.json()).toMatchObject({ supported_obligations: ['custom'] })
  })
})

describe('POST /v1/decisions/{id}/outcome', () => {
  const path = (id: string) => `/v1/decisions/${id}/outcome`

  it('takes the word of the agent as a claim, and that of a gateway as settled', async () => {
    const world = await bank()
    const decide = await asker(world)
    const { evaluation_id } = await decide('transfer', { amount: 900 })
    const agent = { token: await world.agentToken() }
    const claimed = await world.post(path(evaluation_id), { outcome: 'not_done' }, agent)
    expect(await claimed.json()).toMatchObject({ evaluation_id, outcome: 'not_done', claim: true, freed: 0 })
    expect(await decide('transfer', { amount: 200 })).toMatchObject({ reason: 'budget_exhausted' })
    const subject = { type: 'Agent', id: 'clerk' }
    const pep = { token: await world.pepToken() }
    const settled = await world.post(path(evaluation_id), { outcome: 'not_done', subject, result_hash: 'abc' }, pep)
    expect(await settled.json()).toMatchObject({ claim: false, freed: 900 })
    expect(await decide('transfer', { amount: 1000 })).toMatchObject({ outcome: 'allow' })
    const contradicted = await world.post(path(evaluation_id), { outcome: 'done', subject }, pep)
    expect(await problemIn(contradicted)).toMatchObject({ status: 409, reason: 'outcome_settled' })
  })

  it('is taken of what nothing is awaited of, also before D1 has the decision', async () => {
    const world = await bank()
    const decide = await asker(world)
    const { evaluation_id } = await decide('view', {})
    const agent = { token: await world.agentToken() }
    const said = await world.post(path(evaluation_id), { outcome: 'done' }, agent)
    expect(await said.json()).toMatchObject({ evaluation_id, outcome: 'done', claim: true })
    expect((await world.post(path(crypto.randomUUID()), { outcome: 'done' }, agent)).status).toBe(404)
  })

  it('after unknown, no blind second transfer', async () => {
    const world = await bank()
    const decide = await asker(world)
    const { evaluation_id } = await decide('transfer', { amount: 10 })
    const agent = { token: await world.agentToken() }
    expect((await world.post(path(evaluation_id), { outcome: 'unknown' }, agent)).status).toBe(200)
    expect(await decide('transfer', { amount: 10 })).toMatchObject({ outcome: 'deny', reason: 'outcome_unknown' })
    expect(await decide('transfer', { amount: 11 })).toMatchObject({ outcome: 'allow' })
    const admin = { token: await world.token({ roles: ['admin'] }) }
    const subject = { type: 'Agent', id: 'clerk' }
    expect((await world.post(path(evaluation_id), { outcome: 'failed', subject }, admin)).status).toBe(200)
    expect(await decide('transfer', { amount: 10 })).toMatchObject({ outcome: 'allow' })
  })

  it('refuses whom it is no business of, and what it cannot be', async () => {
    const world = await bank()
    const decide = await asker(world)
    const { evaluation_id } = await decide('transfer', { amount: 10 })
    const send = async (id: string, body: unknown, token: string) => {
      const { status, reason } = await problemIn(await world.post(path(id), body, { token }))
      return `${status} ${reason}`
    }
    const helper = await world.agentToken('helper')
    const clerk = await world.agentToken()
    const auditor = await world.token({ roles: ['auditor'] })
    expect(await send(evaluation_id, { outcome: 'done' }, helper)).toBe('404 not_found')
    expect(await send(evaluation_id, { outcome: 'done' }, auditor)).toBe('403 forbidden_role')
    expect(await send(evaluation_id, { outcome: 'perhaps' }, clerk)).toBe('400 malformed_request')
    expect(await send('7', { outcome: 'done' }, clerk)).toBe('404 not_found')
    expect(await send(crypto.randomUUID(), { outcome: 'done' }, clerk)).toBe('404 not_found')
    // once it is in the record, that finds it for those alone who may speak of it
    clock.advance(2_000)
    await runDurableObjectAlarm(world.object())
    const stranger = await world.token({ sub: 'stranger', roles: ['agent'] })
    for (const token of [helper, stranger]) {
      expect(await send(evaluation_id, { outcome: 'unknown' }, token)).toBe('404 not_found')
    }
    const pep = await world.pepToken()
    const nobody = { type: 'Nobody', id: 'clerk' }
    expect(await send(evaluation_id, { outcome: 'done', subject: nobody }, pep)).toBe('404 not_found')
    expect(await decide('transfer', { amount: 10 })).toMatchObject({ outcome: 'allow' })
  })
})

it('a batch is judged in its order: what an item does, the next one knows', async () => {
  const world = await bank()
  const evaluations = [ask('wire', { amount: 1 }), ask('view'), ask('wire', { amount: 1 })]
  const results = await world.evaluateAll({ evaluations }, { token: await world.agentToken() })
  expect(results.map(({ decision }) => decision)).toEqual([false, true, true])
})

it('a replay remembers nothing twice', async () => {
  const world = await bank()
  const headers = { 'idempotency-key': 'k1' }
  const token = await world.agentToken()
  const post = () => world.post('/access/v1/evaluation', ask('view'), { token, headers })
  const first = await answerIn(await post())
  expect(await answerIn(await post())).toEqual(first)
  expect(await world.object().session('')).toMatchObject({ state: { steps: 1 } })
})

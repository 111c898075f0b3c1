import { runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { wrongLinks } from '../audit/verify.ts'
import { broken } from '../doubles.ts'
import { createWorld, type World } from '../http/world.ts'

/**
 * The technical tests R1 to R6 of AARM (aarm-dev/docs, conformance/testing.mdx at c68a439), each named after its row.
 * Rows that hang on parts of their own stand with those: MODIFY with rewriting, STEP_UP and its timeout with escalation,
 * a deferral's resolution and timeout with facts, signatures with the log.
 */

const ask = (name: string, properties: Record<string, unknown> = {}, id = 'a1') => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name, properties },
  resource: name === 'mail' ? { type: 'Mailbox', id: 'out' } : { type: 'Account', id },
})
const outside = { to: 'x@evil.example' }

const asker = async (world: World, sid = 's1') => {
  const token = await world.agentToken('clerk', { sid })
  return async (...what: Parameters<typeof ask>) => (await world.evaluate(ask(...what), { token })).context
}
const bodies = async (world: World) => (await world.receipts()).map(({ body }) => JSON.parse(body))

describe('R1', () => {
  it('Submit action matching DENY policy: action does not execute; denial receipt generated', async () => {
    const world = await createWorld({ folder: 'bank' })
    const denied = await (await asker(world))('close', { amount: 1 })
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'forbidden', recorded: true })
    expect(denied).not.toHaveProperty('permit')
    expect((await bodies(world))[0].decision).toMatchObject({ outcome: 'deny', evaluation_id: denied.evaluation_id })
  })

  it('Submit action matching DEFER condition: action suspended; no effects; deferral receipt generated', async () => {
    const world = await createWorld({ folder: 'bank' })
    const decide = await asker(world)
    await decide('view')
    const deferred = await decide('wire', { amount: 1 }, 'unheard-of')
    expect(deferred).toMatchObject({ outcome: 'defer', recorded: true })
    expect(deferred).not.toHaveProperty('permit')
    expect((await bodies(world))[1].decision).toMatchObject({ outcome: 'defer', missing: ['resource.owner'] })
    expect(await world.object().session('s1')).toMatchObject({ state: { steps: 1 } })
  })

  it('Make AARM system unavailable, submit action: action fails (no fail-open bypass)', async () => {
    const world = await createWorld({ folder: 'bank' })
    const decide = await asker(world)
    expect(await decide('view')).toMatchObject({ outcome: 'allow' })
    broken.answers = true
    try {
      const denied = await decide('view')
      expect(denied).toMatchObject({ outcome: 'deny', reason: 'control_unreachable', recorded: false })
      expect(denied).not.toHaveProperty('permit')
    } finally {
      broken.answers = false
    }
  })
})

describe('R2', () => {
  it('Execute action sequence, inspect context at step N: all prior actions and data classifications', async () => {
    const world = await createWorld({ folder: 'bank' })
    const decide = await asker(world)
    await decide('view')
    await decide('mail', outside)
    await decide('close', { amount: 1 })
    await decide('view', {}, 'a2')
    const admin = { token: await world.token({ roles: ['admin'] }) }
    const response = await world.send('GET', '/v1/agents/Agent/clerk/session?id=s1', undefined, admin)
    const trace = await response.json<{ state: unknown; steps: { entry: unknown }[] }>()
    expect(trace.state).toMatchObject({
      steps: 3,
      actions: ['mail', 'view'],
      resources: ['Account::"a1"', 'Account::"a2"', 'Mailbox::"out"'],
      classes: ['confidential', 'internal'],
      level: 2,
    })
    expect(trace.steps.map(({ entry }) => entry)).toMatchObject([
      { action: 'view', resource: 'Account::"a1"', read: { class: 'internal', level: 1 } },
      { action: 'mail', resource: 'Mailbox::"out"' },
      { action: 'view', resource: 'Account::"a2"', read: { class: 'confidential', level: 2 } },
    ])
  })

  it.each([
    ['an entry', "UPDATE session_step SET entry = replace(entry, 'a1', 'a9') WHERE seq = 1", 1, 'permitted'],
    ['a link', "UPDATE session_step SET hash = 'x' WHERE seq = 2", 2, 'permitted'],
    ['the state', "UPDATE session SET state = replace(state, 'confidential', 'public')", 3, 'session_tampered'],
    ['the last step', 'DELETE FROM session_step WHERE seq = 3', 2, 'session_tampered'],
  ])(
    'Tamper with prior context entry (hash-chained): tampering with %s is detected',
    async (_, change, wrong, reason) => {
      const world = await createWorld({ folder: 'bank' })
      const decide = await asker(world)
      for (const id of ['a1', 'a2', 'a1']) await decide('view', {}, id)
      expect((await world.object().session('s1'))?.wrong).toBeUndefined()
      await runInDurableObject(world.object(), (_object, { storage }) => void storage.sql.exec(change))
      expect((await world.object().session('s1'))?.wrong).toBe(wrong)
      // each decision looks at what it relies on, the state and the step that led to it; the rest whoever reads the session
      expect(await decide('mail', { to: 'x@bank.example' })).toMatchObject({ reason })
    },
  )
})

describe('R3', () => {
  it('Submit forbidden action: immediate DENY regardless of context', async () => {
    const decide = await asker(await createWorld({ folder: 'bank' }))
    expect(await decide('close', { amount: 1 })).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    await decide('view')
    expect(await decide('close', { amount: 1 })).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
  })

  it('Submit allowed action after sensitive data access (context-dependent deny): DENY based on context', async () => {
    const decide = await asker(await createWorld({ folder: 'bank' }))
    expect(await decide('mail', outside)).toMatchObject({ outcome: 'allow' })
    await decide('view', {}, 'a2')
    expect(await decide('mail', outside)).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
  })

  it('Submit denied action with confirming context (context-dependent allow): STEP_UP or ALLOW', async () => {
    const decide = await asker(await createWorld({ folder: 'bank' }))
    expect(await decide('wire', { amount: 1 })).toMatchObject({ outcome: 'deny' })
    await decide('view')
    expect(await decide('wire', { amount: 1 })).toMatchObject({ outcome: 'allow' })
  })

  it('Submit action with ambiguous/conflicting context (context-dependent defer): DEFER', async () => {
    const decide = await asker(await createWorld({ folder: 'bank' }))
    await decide('view')
    expect(await decide('wire', { amount: 1 }, 'unheard-of')).toMatchObject({
      outcome: 'defer',
      reason: 'facts_missing',
    })
  })
})

describe('R4', () => {
  it('Trigger decision types: ALLOW executes, DENY blocks, DEFER suspends', async () => {
    const decide = await asker(await createWorld({ folder: 'bank' }))
    expect(await decide('view')).toHaveProperty('permit')
    for (const [name, id] of [
      ['close', 'a1'],
      ['wire', 'unheard-of'],
    ] as const) {
      expect(await decide(name, { amount: 1 }, id)).not.toHaveProperty('permit')
    }
  })
})

describe('R5', () => {
  it('Generate receipts: requester context, delegation chain and policy version/hash present per schema', async () => {
    const world = await createWorld({ folder: 'bank' })
    const token = await world.agentToken('clerk', {
      sid: 's1',
      chain: [{ type: 'Agent', id: 'helper' }],
      user: { type: 'User', id: 'lea' },
    })
    for (const name of ['view', 'close', 'wire']) {
      const id = name === 'wire' ? 'unheard-of' : 'a1'
      await world.evaluate(ask(name, name === 'view' ? {} : { amount: 1 }, id), { token })
    }
    const receipts = await bodies(world)
    expect(receipts.map(({ decision }) => decision.outcome)).toEqual(['allow', 'deny', 'defer'])
    for (const receipt of receipts) {
      expect(receipt).toMatchObject({
        agent: { type: 'Agent', id: 'clerk' },
        delegated_by: [{ type: 'Agent', id: 'helper' }],
        roles: ['agent'],
        issuer: 'development',
        session: 's1',
        decision: { bundle: { seq: 1, hash: world.first.hash } },
      })
    }
  })

  it('Tamper with requester context or policy hash in receipt: verification fails', async () => {
    const world = await createWorld({ folder: 'bank' })
    await (await asker(world))('view')
    const [receipt] = await world.receipts()
    if (!receipt) throw new Error('no receipt')
    const chain = (body: string) => wrongLinks(world.object().name ?? '', [{ ...receipt, body }])
    expect(chain(receipt.body)).toEqual([])
    expect(chain(receipt.body.replace('clerk', 'clerc'))).not.toEqual([])
    expect(chain(receipt.body.replace(world.first.hash, 'other'))).not.toEqual([])
  })

  it('Verify deferred action receipt: deferral reason present', async () => {
    const world = await createWorld({ folder: 'bank' })
    const decide = await asker(world)
    await decide('view')
    await decide('wire', { amount: 1 }, 'unheard-of')
    expect((await bodies(world))[1].decision).toMatchObject({ reason: 'facts_missing', missing: ['resource.owner'] })
  })
})

describe('R6', () => {
  it('Submit from different principals and sessions: receipts attribute identity, roles and session', async () => {
    const world = await createWorld({ folder: 'bank' })
    const clerk = await world.agentToken('clerk', { sid: 's1' })
    const again = await world.agentToken('clerk', { sid: 's2' })
    const helper = await world.agentToken('helper', { sid: 's1' })
    for (const token of [clerk, again]) await world.evaluate(ask('view'), { token })
    await world.evaluate({ ...ask('view'), subject: { type: 'Agent', id: 'helper' } }, { token: helper })
    await world.evaluate(ask('view'), { token: await world.pepToken() })
    const seen = [...(await world.receipts()), ...(await world.receipts('helper'))].map(({ body, secrets }) => {
      const { agent, roles, session } = JSON.parse(body)
      return [agent.id, roles.join(), session, JSON.parse(secrets).caller.value]
    })
    expect(seen).toEqual([
      ['clerk', 'agent', 's1', 'development:tester/agent=Agent::"clerk"'],
      ['clerk', 'agent', 's2', 'development:tester/agent=Agent::"clerk"'],
      ['clerk', 'pep', undefined, 'development:gateway'],
      ['helper', 'agent', 's1', 'development:tester/agent=Agent::"helper"'],
    ])
  })
})

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { cloudEventOf, ocsfOf, type Told } from '../../src/audit/formats.ts'
import { APPLIES_OBLIGATIONS } from '../../src/sdk/index.ts'
import { clock } from '../clock.ts'
import { delegate, GRANT, outcome } from '../delegation/delegating.ts'
import { broken, mend } from '../doubles.ts'
import { asking, createHouse, type House } from './house.ts'

/**
 * The technical tests of AARM (aarm-dev/docs, conformance/testing.mdx at c68a439), each named after its row in our words.
 * All go over HTTP, with a tool that acts on what it could redeem and on nothing else. docs/aarm.md says which are held.
 */

afterEach(() => {
  mend()
  clock.reset()
})

const outside = { to: 'x@evil.example' }
const PROVEN = { findings: [], signedBy: [expect.any(String)] }

/** That it is on record, in the log, and that the log's key proves it. */
const onRecord = async (house: House, id: string) => {
  await house.settle('clerk')
  expect(await house.audited()).toMatchObject(PROVEN)
  return house.receipt(id)
}

describe('R1', () => {
  it('an action that a policy denies does not execute, and leaves the receipt of a denial', async () => {
    const house = await createHouse()
    const denied = await house.attempt(asking('close'))
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'forbidden', recorded: true })
    expect(house.effects).toEqual([])
    const { body } = await onRecord(house, denied.evaluation_id)
    expect(body).toMatchObject({
      action: 'close',
      decision: { outcome: 'deny', reason: 'forbidden', policies: ['nobody-closes'] },
    })
  })

  it('an action that must be deferred is suspended, without effects, and leaves the receipt of a deferral', async () => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    const deferred = await house.attempt(asking('wire', { amount: 1 }))
    expect(deferred).toMatchObject({ outcome: 'defer', recorded: true, missing: [{ name: 'facts.cleared' }] })
    expect(house.effects).toEqual(['view {}'])
    const { body } = await onRecord(house, deferred.evaluation_id)
    expect(body.decision).toMatchObject({
      outcome: 'defer',
      reason: 'facts_missing',
      policies: ['wire-what-was-seen'],
      missing: ['facts.cleared'],
    })
  })

  it('an action fails while the control plane is unavailable: nothing lets it pass', async () => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    broken.answers = true
    const denied = await house.attempt(asking('view'))
    expect(denied).toMatchObject({ outcome: 'deny', reason: 'control_unreachable', recorded: false })
    expect(house.effects).toEqual(['view {}'])
  })
})

describe('R2', () => {
  it('at step N of a session policies receive all actions before it and the classes of data', async () => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    await house.attempt(asking('mail', outside))
    await house.attempt(asking('close'))
    await house.attempt(asking('view', {}, { id: 'a2' }))
    const admin = { token: await house.token({ roles: ['admin'] }) }
    const response = await house.send('GET', '/v1/agents/Agent/clerk/session?id=s1', undefined, admin)
    const trace = await response.json<{ state: unknown; steps: { entry: unknown }[] }>()
    // what was denied is no step: it never happened
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
    // and a policy that reads them decides by them
    expect(await house.attempt(asking('mail', outside))).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
  })

  it.each([
    ['an entry', "UPDATE session_step SET entry = replace(entry, 'a1', 'a9') WHERE seq = 1", 1, 'permitted'],
    ['an entry until nothing can be read of it', "UPDATE session_step SET entry = 'x' WHERE seq = 2", 2, 'permitted'],
    ['a link', "UPDATE session_step SET hash = 'x' WHERE seq = 2", 2, 'permitted'],
    ['the state', "UPDATE session SET state = replace(state, 'internal', 'public')", 3, 'session_tampered'],
    ['the state until nothing can be read of it', "UPDATE session SET state = 'x'", 3, 'session_tampered'],
    ['where it comes from', "UPDATE session SET line = '['", 3, 'session_tampered'],
    ['the last step', 'DELETE FROM session_step WHERE seq = 3', 2, 'session_tampered'],
  ])('a session is chained by hashes: tampering with %s is detected', async (_, change, wrong, reason) => {
    const house = await createHouse()
    for (let step = 0; step < 3; step++) await house.attempt(asking('view'))
    expect((await house.object().session('s1'))?.wrong).toBeUndefined()
    await runInDurableObject(house.object(), (_object, { storage }) => void storage.sql.exec(change))
    expect((await house.object().session('s1'))?.wrong).toBe(wrong)
    // each decision looks at what it relies on, the state and the step that led to it; the rest whoever reads the session
    expect(await house.attempt(asking('mail', { to: 'x@bank.example' }))).toMatchObject({ reason })
  })
})

describe('R3', () => {
  it('a forbidden action is denied at once, whatever went before', async () => {
    const house = await createHouse()
    for (const context of ['none', 'some']) {
      if (context === 'some') await house.attempt(asking('view'))
      expect(await house.attempt(asking('close'))).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    }
    expect(house.effects).toEqual(['view {}'])
  })

  it('an allowed action is denied after sensitive data was read', async () => {
    const house = await createHouse()
    expect(await house.attempt(asking('mail', outside))).toMatchObject({ outcome: 'allow' })
    await house.attempt(asking('view', {}, { id: 'a2' }))
    expect(await house.attempt(asking('mail', outside))).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
    expect(house.effects).toEqual([`mail ${JSON.stringify(outside)}`, 'view {}'])
  })

  it('a denied action is allowed where the context confirms it', async () => {
    const house = await createHouse()
    await house.state('ledger', true)
    expect(await house.attempt(asking('wire', { amount: 1 }))).toMatchObject({ outcome: 'deny' })
    await house.attempt(asking('view'))
    expect(await house.attempt(asking('wire', { amount: 1 }))).toMatchObject({ outcome: 'allow' })
    expect(house.effects).toEqual(['view {}', 'wire {"amount":1}'])
  })

  it.each([
    ['ambiguous: nobody has said', []],
    ['conflicting: two sources of one rank disagree', ['ledger', 'mirror']],
  ])('an action is deferred where the context is %s', async (_, sources) => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    for (const source of sources) await house.state(source, source === 'ledger')
    const deferred = await house.attempt(asking('wire', { amount: 1 }))
    expect(deferred).toMatchObject({ outcome: 'defer', reason: 'facts_missing' })
    expect(house.effects).toEqual(['view {}'])
  })
})

describe('R4', () => {
  it('each of the five decisions is enforced', async () => {
    const house = await createHouse()
    expect((await house.attempt(asking('view'))).outcome).toBe('allow')
    expect(house.effects.splice(0)).toEqual(['view {}'])

    expect((await house.attempt(asking('close'))).outcome).toBe('deny')
    expect(house.effects).toEqual([])

    const modified = await house.attempt(asking('export', { rows: 5_000 }, { context: APPLIES_OBLIGATIONS }))
    expect(modified).toMatchObject({ outcome: 'modify', arguments: { rows: 100 }, mask: ['owner'] })
    expect(house.effects.splice(0)).toEqual(['export {"rows":100}'])
    // who doesn't say that it applies what is changed gets no permit for it
    expect(await house.attempt(asking('export', { rows: 5_000 }))).toMatchObject({ reason: 'modify_offered' })
    expect(house.effects).toEqual([])

    const refund = asking('refund', { amount: 5 })
    const paused = await house.attempt(refund)
    expect(paused.outcome).toBe('step_up')
    expect(house.effects).toEqual([])
    const task = await house.request(refund, paused)
    const approver = await house.asApprover()
    // the approver sees all of the action
    const shown = await (await house.send('GET', `/v1/escalations/${task}`, undefined, approver)).text()
    for (const part of ['refund', 'a1', '"amount":5', 'clerk']) expect(shown).toContain(part)
    await house.post(`/v1/escalations/${task}/votes`, { vote: 'approve' }, approver)
    const { result } = await house.task(task)
    const context = { approval: result?.approval }
    expect((await house.attempt(asking('refund', { amount: 6 }, { context }))).outcome).toBe('step_up')
    expect(house.effects).toEqual([])
    expect((await house.attempt({ ...refund, context })).outcome).toBe('allow')
    expect(house.effects.splice(0)).toEqual(['refund {"amount":5}'])

    const wire = asking('wire', { amount: 1 })
    const deferred = await house.attempt(wire)
    expect(deferred.outcome).toBe('defer')
    expect(house.effects).toEqual([])
    // what doesn't depend on it goes on, what does waits with it
    const after = { after: [deferred.evaluation_id] }
    expect((await house.attempt(asking('view'))).outcome).toBe('allow')
    expect((await house.attempt(asking('view', {}, { context: after }))).outcome).toBe('defer')
    expect(house.effects.splice(0)).toEqual(['view {}'])
    await house.state('ledger', true)
    expect(await house.attempt({ ...wire, context: { continues: deferred.evaluation_id } })).toMatchObject({
      outcome: 'allow',
      continues: deferred.evaluation_id,
    })
    expect(house.effects).toEqual(['wire {"amount":1}'])
  })

  it('a STEP_UP that nobody answers in time is denied', async () => {
    const house = await createHouse()
    const refund = asking('refund', { amount: 5 })
    const paused = await house.attempt(refund)
    const task = await house.request(refund, paused)
    await house.later(task, 3_600_001)
    expect((await house.task(task)).task.status).toBe('expired')
    await house.later(task, 1_000)
    const receipts = await house.receipts()
    expect(JSON.parse(receipts.at(-1)?.body ?? '').escalation).toMatchObject({
      evaluation_id: paused.evaluation_id,
      outcome: 'deny',
      reason: 'approval_timeout',
    })
    // too late is too late, and asking again asks a human again
    const late = await house.post(`/v1/escalations/${task}/votes`, { vote: 'approve' }, await house.asApprover())
    expect(late.status).toBe(409)
    expect((await house.attempt(refund)).outcome).toBe('step_up')
    expect(house.effects).toEqual([])
    await house.settle('clerk')
    expect(await house.audited()).toMatchObject(PROVEN)
  })

  it('a DEFER that nothing resolves in time is denied', async () => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    const deferred = await house.attempt(asking('wire', { amount: 1 }))
    clock.advance(600_001)
    await runDurableObjectAlarm(house.object())
    const expiry = (await house.receipts()).at(-1)
    const { evaluation_id, ...decision } = JSON.parse(expiry?.body ?? '{}').decision
    expect(decision).toMatchObject({ outcome: 'deny', reason: 'wait_expired', continues: deferred.evaluation_id })
    expect(house.effects).toEqual(['view {}'])
    expect(await onRecord(house, evaluation_id)).toMatchObject({ kind: 'expiry' })
  })
})

/** One of each of the five decisions, asked by an agent that another gave its task to, for a user. */
const fiveOf = async (house: House) => {
  const claims = { chain: [{ type: 'Agent', id: 'helper' }], user: { type: 'User', id: 'lea' } }
  const ids: Record<string, string> = {}
  for (const what of [
    asking('view'),
    asking('close'),
    asking('export', { rows: 5_000 }, { context: APPLIES_OBLIGATIONS }),
    asking('refund', { amount: 5 }),
    asking('wire', { amount: 1 }),
  ]) {
    const { outcome, evaluation_id } = await house.attempt(what, claims)
    ids[outcome] = evaluation_id
  }
  await house.settle('clerk')
  expect(Object.keys(ids)).toEqual(['allow', 'deny', 'modify', 'step_up', 'defer'])
  return ids
}

describe('R5', () => {
  it('receipts of all five decisions hold who asked, the chain of delegation and the version of the policies', async () => {
    const house = await createHouse()
    const ids = await fiveOf(house)
    for (const [outcome, id] of Object.entries(ids)) {
      const { body, secrets, at } = await house.receipt(id)
      expect(body).toMatchObject({
        agent: { type: 'Agent', id: 'clerk' },
        delegated_by: [{ type: 'Agent', id: 'helper' }],
        issuer: 'development',
        roles: ['agent'],
        session: 's1',
        action: expect.any(String),
        decision: { outcome, reason: expect.any(String), bundle: house.first },
      })
      expect(secrets).toMatchObject({
        user: { value: { type: 'User', id: 'lea' } },
        caller: { value: expect.stringContaining('Agent::"clerk"') },
        resource: { value: { type: 'Account', id: 'a1' } },
        arguments: { value: expect.any(Object) },
      })
      expect(at).toBeGreaterThan(0)
    }
    // what was changed, what a human is asked for, and what was lacking
    const decisionOf = async (outcome: string) => (await house.receipt(ids[outcome] ?? '')).body.decision
    expect(await decisionOf('allow')).toMatchObject({ session: { seq: 1 }, policies: ['may'] })
    expect(await decisionOf('modify')).toMatchObject({ rewrite: { set: { rows: 100 }, mask: ['owner'] } })
    expect(await decisionOf('step_up')).toMatchObject({ escalate: { forbids: [{ policy: 'refund-by-hand' }] } })
    expect(await decisionOf('defer')).toMatchObject({ missing: ['facts.cleared'], wait_until: expect.any(Number) })
  })

  it('the signature of each is verified offline, with the public keys alone', async () => {
    const house = await createHouse()
    for (const [outcome, id] of Object.entries(await fiveOf(house))) {
      const { body } = await house.opened(await house.signed(id))
      expect(body.decision).toMatchObject({ outcome, evaluation_id: id })
    }
    expect(await house.audited()).toMatchObject({ ...PROVEN, receipts: 7 })
  })

  it.each([
    ['who asked', 'clerk', 'clerc'],
    ['the hash of the policies', undefined, 'other'],
  ])('a receipt in which %s was changed does not verify', async (_, from, to) => {
    const house = await createHouse()
    const { evaluation_id } = await house.attempt(asking('view'))
    await house.settle('clerk')
    const changed = (text: string) => text.replaceAll(from ?? house.first.hash, to)
    const [head, payload = '', signature] = (await house.signed(evaluation_id)).split('.')
    const text = Buffer.from(payload, 'base64url').toString()
    expect(changed(text)).not.toBe(text)
    const bent = [head, Buffer.from(changed(text)).toString('base64url'), signature].join('.')
    await expect(house.opened(bent)).rejects.toThrow()
    expect((await house.audited()).findings).toEqual([])
    const { findings } = await house.audited(line => (line.includes('"type":"receipt"') ? changed(line) : line))
    expect(findings).not.toEqual([])
  })

  it.each(['arrived', 'asked_again', 'timed_out'])(
    'the receipts of a deferred action say why it was, how that was resolved (%s), and when',
    async resolution => {
      const house = await createHouse()
      await house.attempt(asking('view'))
      const wire = asking('wire', { amount: 1 })
      const { evaluation_id: deferred } = await house.attempt(wire)
      if (resolution === 'arrived') await house.state('ledger', true)
      if (resolution === 'timed_out') {
        clock.advance(600_001)
        await runDurableObjectAlarm(house.object())
      } else await house.attempt({ ...wire, context: { continues: deferred } })
      const outcome = { arrived: 'allow', asked_again: 'defer', timed_out: 'deny' }[resolution]
      const resolved = (await house.receipts())
        .map(({ body }) => JSON.parse(body).decision)
        .find(decision => decision?.continues === deferred)
      await house.settle('clerk')
      const first = await house.receipt(deferred)
      expect(first.body.decision).toMatchObject({ reason: 'facts_missing', missing: ['facts.cleared'] })
      const second = await house.opened(await house.signed(resolved.evaluation_id))
      expect(second.body.decision).toMatchObject({ outcome, continues: deferred, resolution })
      expect(second.at).toBeGreaterThanOrEqual(first.at)
    },
  )
})

describe('R6', () => {
  it('receipts attribute identity, roles and session to different principals and sessions', async () => {
    const house = await createHouse()
    const lea = { type: 'User', id: 'lea' }
    await house.attempt(asking('view'), { sid: 's1' })
    await house.attempt(asking('view'), { sid: 's2', user: lea })
    await house.attempt(asking('view', {}, { agent: 'helper' }), { sid: 's1' })
    await house.evaluate(asking('view'), { token: await house.pepToken() })
    await house.settle('clerk', 'helper')
    const { receipts } = await house.getJson('/v1/receipts?action=view')
    const seen = receipts.map(({ body, secrets }: Told) => {
      const said = (name: string) => (secrets[name] as { value?: unknown } | undefined)?.value
      const { agent, roles, session, issuer } = body as Record<string, unknown>
      return { agent: (agent as { id: string }).id, roles, session, issuer, user: said('user'), caller: said('caller') }
    })
    const of = (agent: string, session: string, user?: unknown) => ({
      agent,
      roles: ['agent'],
      session,
      issuer: 'development',
      user,
      caller: `development:tester/agent=Agent::"${agent}"`,
    })
    const pep = { agent: 'clerk', roles: ['pep'], issuer: 'development', caller: 'development:gateway' }
    expect(seen).toHaveLength(4)
    expect(seen).toEqual(
      expect.arrayContaining([
        of('clerk', 's1'),
        { ...of('clerk', 's2', lea), caller: expect.stringContaining('Agent::"clerk"') },
        of('helper', 's1'),
        { ...pep, session: undefined, user: undefined },
      ]),
    )
  })

  it.each(['arrived', 'timed_out'])(
    'an action that is deferred and then resolved (%s) keeps the identity that it was asked with',
    async resolution => {
      const house = await createHouse()
      const who = { chain: [{ type: 'Agent', id: 'helper' }], user: { type: 'User', id: 'lea' } }
      await house.attempt(asking('view'), who)
      const wire = asking('wire', { amount: 1 })
      const { evaluation_id: deferred } = await house.attempt(wire, who)
      const continued = { ...wire, context: { continues: deferred } }
      if (resolution === 'arrived') {
        await house.state('ledger', true)
        // nobody else takes it up: neither the agent for itself, nor for another user
        for (const other of [{}, { ...who, user: { type: 'User', id: 'fay' } }]) {
          expect(await house.attempt(continued, other)).not.toHaveProperty('continues')
        }
        expect((await house.attempt(continued, who)).continues).toBe(deferred)
      } else {
        clock.advance(600_001)
        await runDurableObjectAlarm(house.object())
      }
      const resolved = (await house.receipts())
        .map(({ body }) => JSON.parse(body).decision)
        .find(decision => decision?.continues === deferred)
      await house.settle('clerk')
      const identityOf = async (id: string) => {
        const { body, secrets } = await house.receipt(id)
        const { agent, delegated_by, roles, issuer, session } = body
        return { agent, delegated_by, roles, issuer, session, user: secrets.user?.value, caller: secrets.caller?.value }
      }
      const identity = await identityOf(deferred)
      expect(identity).toMatchObject({ ...{ user: who.user, delegated_by: who.chain }, session: 's1' })
      expect(await identityOf(resolved.evaluation_id)).toEqual(identity)
      expect(await house.audited()).toMatchObject(PROVEN)
    },
  )
})

describe('R8', () => {
  it('events for a SIEM have the form of their schema, those of deferrals too', async () => {
    const house = await createHouse()
    await house.attempt(asking('view'))
    const { evaluation_id } = await house.attempt(asking('wire', { amount: 1 }))
    await house.settle('clerk')
    const { receipts } = await house.getJson('/v1/receipts?outcome=defer')
    expect(receipts).toHaveLength(1)
    expect(ocsfOf(receipts[0], house.identifier)).toMatchObject({
      class_uid: 6003,
      category_uid: 6,
      type_uid: 600_399,
      action_id: 2,
      disposition_id: 14,
      status_code: 'facts_missing',
      api: { operation: 'wire', request: { uid: evaluation_id } },
      actor: { session: { uid: 's1' } },
      metadata: { version: '1.5.0' },
    })
    expect(cloudEventOf(receipts[0], house.identifier)).toMatchObject({
      specversion: '1.0',
      type: 'countersign.receipt.decision',
      source: house.identifier,
    })
  })
})

describe('R9', () => {
  it('a credential that was issued for reading cannot write', async () => {
    const house = await createHouse()
    const details = [{ ...GRANT, actions: ['view'] }]
    const child = await delegate(house, await house.agentToken(), { agent: 'helper', details })
    expect(await outcome(house, child, asking('view', {}, { agent: 'helper' }))).toBe('permitted')
    for (const [name, args] of [
      ['mail', { to: 'x@bank.example' }],
      ['export', { rows: 1 }],
    ] as const) {
      expect(await outcome(house, child, asking(name, args, { agent: 'helper' }))).toBe('outside_grant')
    }
  })
})

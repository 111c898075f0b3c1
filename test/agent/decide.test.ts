import { abortAllDurableObjects, evictDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { wrongLinks } from '../audit/verify.ts'
import { hangsOn, leg, liftable, program, rule } from '../settle/build.ts'
import { callOf, chainOf, decided, decideOne, denying, item, limited, newAgent, T0 } from './build.ts'

describe('no permit without its receipt', () => {
  it('an allow is answered with its place on the chain', async () => {
    const agent = newAgent()
    const asked = item()
    const answer = await decided(agent, asked)
    expect(answer).toMatchObject({
      evaluationId: asked.evaluationId,
      outcome: 'allow',
      reason: 'permitted',
      at: T0,
      expiresAt: T0 + 60_000,
      policies: ['permit'],
      missing: [],
      bundle: 'bundle-1',
    })
    const [receipt] = await chainOf(agent)
    expect(answer.receipt).toEqual({ seq: 1, hash: receipt?.hash })
    expect(JSON.parse(receipt?.body ?? '')).toEqual({
      ...asked.body,
      decision: {
        evaluation_id: asked.evaluationId,
        outcome: 'allow',
        reason: 'permitted',
        policies: ['permit'],
        bundle: { seq: 1, hash: 'bundle-1' },
        expires_at: T0 + 60_000,
      },
    })
    expect(receipt?.secrets).toBe(asked.secrets)
  })

  it('every other outcome is on record too, and carries no permit', async () => {
    const agent = newAgent()
    const waits = program(leg({ permits: [rule('p', { when: hangsOn('total') })] }))
    const asks = program(leg({ permits: [rule('p')], forbids: [rule('f', { liftable })] }))
    const programs = [denying, waits, asks]
    const answers = await agent.stub.decide(
      callOf(
        agent,
        programs.map(each => item({ program: each })),
      ),
    )
    expect(answers).toMatchObject([
      { outcome: 'deny', reason: 'forbidden', policies: ['forbid'] },
      { outcome: 'defer', reason: 'facts_missing', missing: ['total'] },
      { outcome: 'step_up', reason: 'approval_required', policies: ['f'] },
    ])
    for (const answer of answers) expect(answer).not.toHaveProperty('expiresAt')
    expect(await chainOf(agent)).toHaveLength(3)
  })

  it('a denial that the Worker settled is recorded with its problems', async () => {
    const agent = newAgent()
    const problems = [{ pointer: '/action/properties/amount', code: 'mistyped', expected: 'Long' }] as const
    const unfit = item({ program: program(), denied: { reason: 'schema_mismatch', problems: [...problems] } })
    expect(await decided(agent, unfit)).toMatchObject({ outcome: 'deny', reason: 'schema_mismatch', problems })
    const [receipt] = await chainOf(agent)
    expect(JSON.parse(receipt?.body ?? '').decision).toMatchObject({ reason: 'schema_mismatch', problems })
  })

  it('the chain verifies from its beginning, whatever happened to the object in between', async () => {
    const agent = newAgent()
    await decided(agent, item())
    await evictDurableObject(agent.stub)
    await decided(agent, item({ program: denying }))
    await abortAllDurableObjects()
    await agent.stub.decide(callOf(agent, [item(), item(), item({ program: denying })]))
    const receipts = await chainOf(agent)
    expect(receipts).toHaveLength(5)
    expect(wrongLinks(agent.name, receipts)).toEqual([])
  })

  it("an object's time never goes back, though a Worker's clock is behind", async () => {
    const agent = newAgent()
    await decided(agent, item(), { now: T0 })
    expect(await decided(agent, item(), { now: T0 - 5_000 })).toMatchObject({ at: T0, expiresAt: T0 + 60_000 })
    expect(await decided(agent, item(), { now: T0 + 1 })).toMatchObject({ at: T0 + 1 })
  })
})

describe('limits', () => {
  it('200 concurrent decisions under a limit of 20 allow exactly 20', async () => {
    const agent = newAgent()
    const answers = await Promise.all(Array.from({ length: 200 }, () => decided(agent, item({ program: limited(20) }))))
    expect(answers.filter(({ outcome }) => outcome === 'allow')).toHaveLength(20)
    expect(answers.filter(({ reason }) => reason === 'rate_limited')).toHaveLength(180)
    expect(answers.find(({ reason }) => reason === 'rate_limited')?.retryAfter).toBe(180)
  })

  it('and so do 200 in batches, over an eviction', async () => {
    const agent = newAgent()
    const batch = () =>
      agent.stub.decide(
        callOf(
          agent,
          Array.from({ length: 50 }, () => item({ program: limited(20, 86_400_000) })),
        ),
      )
    const before = await Promise.all([batch(), batch()])
    await evictDurableObject(agent.stub)
    const answers = [...before, ...(await Promise.all([batch(), batch()]))].flat()
    expect(answers.filter(answer => answer.kind === 'decided' && answer.outcome === 'allow')).toHaveLength(20)
  })

  it('are refilled by time and not by a push', async () => {
    const agent = newAgent()
    const ask = (now: number, seq: number) =>
      decided(agent, item({ program: limited(2, 60_000) }), { now, bundle: { seq, hash: `bundle-${seq}` } })
    await ask(T0, 1)
    await ask(T0, 1)
    expect(await ask(T0, 2)).toMatchObject({ outcome: 'deny', retryAfter: 30 })
    expect(await ask(T0 + 29_999, 2)).toMatchObject({ outcome: 'deny', retryAfter: 1 })
    expect(await ask(T0 + 30_000, 2)).toMatchObject({ outcome: 'allow' })
  })

  it('are not taken by what is denied, deferred or asked of a human', async () => {
    const agent = newAgent()
    const [permits, forbids] = [[rule('permit')], limited(1).legs[0]?.forbids ?? []]
    for (const more of [rule('no'), rule('ask', { liftable }), rule('wait', { when: hangsOn('x') })]) {
      await decided(agent, item({ program: program(leg({ permits, forbids: [...forbids, more] })) }))
    }
    expect(await decided(agent, item({ program: limited(1) }))).toMatchObject({ outcome: 'allow' })
  })
})

describe('attempts', () => {
  const attempts = { capacity: 3, windowMs: 60_000 }

  it('bound what an agent may ask in vain; beyond them nothing is decided or recorded', async () => {
    const agent = newAgent()
    const asked = Array.from({ length: 5 }, () => item({ program: denying }))
    const answers = await agent.stub.decide(callOf(agent, asked, { attempts }))
    expect(answers.map(({ kind }) => kind)).toEqual([
      'decided',
      'decided',
      'decided',
      'too_many_attempts',
      'too_many_attempts',
    ])
    expect(answers.at(-1)).toMatchObject({ retryAfter: 20 })
    expect(await chainOf(agent)).toHaveLength(3)
    expect(await decideOne(agent, item({ program: denying }), { attempts, now: T0 + 20_000 })).toMatchObject({
      kind: 'decided',
    })
  })

  it('never stand in the way of an allow', async () => {
    const agent = newAgent()
    await agent.stub.decide(
      callOf(
        agent,
        Array.from({ length: 5 }, () => item({ program: denying })),
        { attempts },
      ),
    )
    expect(await decideOne(agent, item(), { attempts })).toMatchObject({ kind: 'decided', outcome: 'allow' })
  })

  it('bound what strangers put on an unattributed chain', async () => {
    const chain = newAgent()
    const stranger = () => item({ program: program(), denied: { reason: 'unknown_agent' } })
    const answers = await Promise.all(Array.from({ length: 10 }, () => decideOne(chain, stranger(), { attempts })))
    expect(answers.filter(({ kind }) => kind === 'decided')).toHaveLength(3)
    expect(answers.filter(({ kind }) => kind === 'too_many_attempts')).toHaveLength(7)
    expect(await chainOf(chain)).toHaveLength(3)
  })
})

describe('a batch', () => {
  const mixed = () => [item(), item({ program: denying }), item(), item({ program: denying })]

  it('settles its items in order, each with its receipt', async () => {
    const agent = newAgent()
    const items = mixed()
    const answers = await agent.stub.decide(callOf(agent, items))
    expect(answers).toMatchObject([
      { outcome: 'allow', receipt: { seq: 1 } },
      { outcome: 'deny', receipt: { seq: 2 } },
      { outcome: 'allow', receipt: { seq: 3 } },
      { outcome: 'deny', receipt: { seq: 4 } },
    ])
    expect(answers.map(answer => answer.kind === 'decided' && answer.evaluationId)).toEqual(
      items.map(i => i.evaluationId),
    )
  })

  it('stops at the first denial, and what follows takes nothing and leaves nothing', async () => {
    const agent = newAgent()
    const items = [item({ program: denying }), item({ program: limited(1) })]
    expect(await agent.stub.decide(callOf(agent, items, { stop: 'first_deny' }))).toHaveLength(1)
    expect(await chainOf(agent)).toHaveLength(1)
    expect(await decided(agent, item({ program: limited(1) }))).toMatchObject({ outcome: 'allow' })
  })

  it('stops at the first permit', async () => {
    const agent = newAgent()
    const items = [item({ program: denying }), item(), item()]
    expect(await agent.stub.decide(callOf(agent, items, { stop: 'first_permit' }))).toMatchObject([
      { outcome: 'deny' },
      { outcome: 'allow' },
    ])
    expect(await chainOf(agent)).toHaveLength(2)
  })
})

describe('a bundle that is behind what the object has seen', () => {
  const under = (seq: number, hash = `bundle-${seq}`) => ({ bundle: { seq, hash } })

  it('settles nothing, and the call is told of the newer one', async () => {
    const agent = newAgent()
    await decided(agent, item(), under(2))
    const answers = await agent.stub.decide(callOf(agent, [item(), item()], under(1)))
    expect(answers).toEqual([{ kind: 'stale_bundle', seq: 2, hash: 'bundle-2' }])
    expect(await chainOf(agent)).toHaveLength(1)
    expect(await decided(agent, item(), under(3))).toMatchObject({ outcome: 'allow', bundle: 'bundle-3' })
    expect(await decideOne(agent, item(), under(2))).toMatchObject({ kind: 'stale_bundle', seq: 3 })
  })

  it('one number has one bundle: the first that was seen', async () => {
    const agent = newAgent()
    await decided(agent, item(), under(2))
    expect(await decideOne(agent, item(), under(2, 'other'))).toEqual({
      kind: 'stale_bundle',
      seq: 2,
      hash: 'bundle-2',
    })
  })
})

it('a call of an older Worker, whose secrets were not written out, is taken as it was', async () => {
  const agent = newAgent()
  const asked = item()
  const older = { ...asked, secrets: JSON.parse(asked.secrets) }
  expect(await decideOne(agent, older, JSON.parse('{"v":1}'))).toMatchObject({ kind: 'decided', outcome: 'allow' })
  expect(await chainOf(agent)).toMatchObject([{ secrets: asked.secrets }])
})

it('a call that a newer Worker wrote otherwise is not guessed at', async () => {
  const agent = newAgent()
  await expect(decideOne(agent, item(), JSON.parse('{"v":3}'))).rejects.toThrow('newer')
  expect(await chainOf(agent)).toEqual([])
})

it('nor does it concern the calls that come with it', async () => {
  const agent = newAgent()
  const settled = await Promise.allSettled([
    decideOne(agent, item()),
    decideOne(agent, item(), JSON.parse('{"v":3}')),
    decideOne(agent, item({ program: denying })),
  ])
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  const chain = await chainOf(agent)
  expect(chain.map(({ seq }) => seq)).toEqual([1, 2])
  expect(wrongLinks(agent.name, chain)).toEqual([])
})

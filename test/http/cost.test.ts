import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { loans } from '../doubles.ts'
import { createWorld, problemIn, type World } from './world.ts'

/** The rows of docs/api.md, "What a call costs", that test/decision/one-hop.test.ts doesn't hold. */

let world: World
let isolate: ReturnType<typeof createIsolate>
beforeEach(async () => {
  clock.reset()
  world = await createWorld({ folder: 'bank' })
  isolate = createIsolate()
})

const subject = { type: 'Agent', id: 'clerk' }
const ask = (name: string, properties = {}, to = 'Account', id = 'a1') => ({
  subject,
  action: { name, properties },
  resource: { type: to, id },
})
const decide = async (asked: ReturnType<typeof ask>) =>
  (await world.evaluate(asked, { token: await world.agentToken(), send: isolate.send })).context

/** What a call used, once warm. */
const usesOf = async (call: () => Promise<Response>) => {
  isolate.uses()
  const { status } = await call()
  return { status, uses: isolate.uses() }
}

describe('what calls cost once warm', () => {
  it('an evaluation with session, duties and budgets: one call', async () => {
    await decide(ask('view'))
    isolate.uses()
    await decide(ask('transfer', { amount: 1 }))
    expect(isolate.uses()).toEqual(['object decide'])
  })

  it('an evaluation under a shared budget: one call, and one more of the object where it holds too little', async () => {
    loans.count = 0
    await decide(ask('gift', { amount: 1 }))
    expect(loans.count).toBe(1)
    isolate.uses()
    await decide(ask('gift', { amount: 1 }))
    expect(isolate.uses()).toEqual(['object decide'])
    expect(loans.count).toBe(1)
  })

  it('an outcome: one call; without the subject of the decision one D1 read more', async () => {
    const token = await world.pepToken()
    const { evaluation_id } = await decide(ask('transfer', { amount: 1 }))
    const report = (body: object) => () =>
      world.post(`/v1/decisions/${evaluation_id}/outcome`, { outcome: 'done', ...body }, { token, send: isolate.send })
    expect(await usesOf(report({ subject }))).toEqual({ status: 200, uses: ['object report'] })
    const { uses } = await usesOf(report({}))
    expect(uses.filter(use => use === 'd1 prepare')).toHaveLength(1)
  })

  it('a redemption: one call', async () => {
    await decide(ask('view'))
    const { permit } = await decide(ask('wire', { amount: 1 }))
    const token = await world.pepToken()
    const redeem = () => world.post('/v1/permits/redeem', { permit }, { token, send: isolate.send })
    expect(await usesOf(redeem)).toEqual({ status: 200, uses: ['object redeem'] })
  })

  it('a kill switch: one call, one D1 read, and one for each agent that is told', async () => {
    await decide(ask('view'))
    const token = await world.token({ roles: ['admin'] })
    const body = { target: { kind: 'agent', ...subject }, reason: 'r' }
    const kill = () => world.post('/v1/kills', body, { token, send: isolate.send })
    const { uses } = await usesOf(kill)
    expect(uses.filter(use => use.startsWith('object'))).toEqual(['object kill', 'object learn'])
    expect(uses.filter(use => use === 'd1 prepare')).toHaveLength(1)
  })

  it("a session's steps: one call", async () => {
    await decide(ask('view'))
    const token = await world.token({ roles: ['admin'] })
    const read = () => world.send('GET', '/v1/agents/Agent/clerk/session', undefined, { token, send: isolate.send })
    expect((await usesOf(read)).uses).toEqual(['object session'])
  })
})

describe('a flood', () => {
  it('is shed before anything is judged: 429, not a decision, no call', async () => {
    const limits: string[] = []
    const flooded = createIsolate(
      {},
      { FLOOD: { limit: async ({ key }: { key: string }) => ({ success: limits.push(key) < 3 }) } as RateLimit },
    )
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

import { beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, problemIn, refund, type World } from '../http/world.ts'

let world: World
let token: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  token = await world.agentToken()
})

const times = async (count: number, ask: Record<string, unknown>, by = token): Promise<string[]> =>
  (await world.evaluateAll({ ...ask, evaluations: Array.from({ length: count }, () => ({})) }, { token: by })).map(
    brief,
  )
const [yes, no] = ['allow: permitted', 'no: rate_limited']

describe('a limit', () => {
  it('on a permit: once it is exhausted, the permit no longer applies', async () => {
    expect(await times(5, asking('ping'))).toEqual([yes, yes, yes, no, no])
  })

  it('says when there is room again, and then there is', async () => {
    await times(3, asking('ping'))
    const response = await world.post('/access/v1/evaluation', asking('ping'), { token })
    const { context } = await response.json<{ context: { retry_after: number } }>()
    expect(response.headers.get('retry-after')).toBe(String(context.retry_after))
    // Three in an hour: one comes back in twenty minutes.
    expect(context.retry_after).toBe(1_200)
    clock.advance(context.retry_after * 1_000)
    token = await world.agentToken()
    expect(await times(2, asking('ping'))).toEqual([yes, no])
  })

  it('on a forbid, per resource: each resource has its own', async () => {
    const other = asking('burst', { resource: { type: 'Order', id: '8' } })
    expect(await times(3, asking('burst'))).toEqual([yes, yes, no])
    expect(await times(3, other)).toEqual([yes, yes, no])
  })

  it('is one for the agent, whoever asks: itself, for a user, or a PEP', async () => {
    const forUser = await world.agentToken('clerk', { user: { type: 'User', id: 'lea' } })
    expect(await times(1, asking('ping'))).toEqual([yes])
    // Both legs use the same permit: it is taken once.
    expect(await times(1, asking('ping'), forUser)).toEqual([yes])
    expect(await times(2, asking('ping'), await world.pepToken())).toEqual([yes, no])
  })

  it('is not refilled by a push', async () => {
    await times(3, asking('ping'))
    await world.push(bundle => {
      bundle.settings = { ...bundle.settings, explain_to_agents: true }
    })
    clock.advance(6_000)
    await times(1, asking('ping'))
    expect(await times(1, asking('ping'))).toEqual([no])
  })

  it('is not taken by what is denied', async () => {
    const ghostly = asking('ping', { subject: { type: 'Agent', id: 'clerk' }, resource: { type: 'Ledger', id: '1' } })
    expect(await times(5, ghostly)).toEqual(Array.from({ length: 5 }, () => 'no: schema_mismatch'))
    expect(await times(3, asking('ping'))).toEqual([yes, yes, yes])
  })
})

describe('attempts', () => {
  it('that end without an allow are counted; beyond, a call is not decided, and nothing is recorded', async () => {
    world = await createWorld({ settings: { limits: { attempts: '3/m' } } })
    token = await world.agentToken()
    expect(await times(4, refund(501))).toEqual([
      ...Array.from({ length: 3 }, () => 'no: forbidden'),
      'no: too_many_attempts',
    ])
    const response = await world.post('/access/v1/evaluation', refund(501), { token })
    expect(response.status).toBe(429)
    expect(await problemIn(response)).toMatchObject({ reason: 'too_many_attempts', retry_after: 20 })
    expect(await world.receipts()).toHaveLength(3)
    // What is allowed costs no attempt.
    expect(await times(5, asking('read'))).toEqual(Array.from({ length: 5 }, () => yes))
  })

  it('of one agent are not those of another', async () => {
    world = await createWorld({ settings: { limits: { attempts: '1/m' } } })
    const pep = await world.pepToken()
    for (const id of ['clerk', 'helper', 'outsider'])
      expect(await times(1, asking('export', { subject: { type: 'Agent', id } }), pep)).toEqual(['no: not_permitted'])
  })
})

import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeAll, describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { clock } from '../clock.ts'
import { asking, createWorld, problemIn, refund, type World } from './world.ts'

/** The record as auditors read it over HTTP. */

let world: World
let other: World
let auditor: string
let ids: string[]
beforeAll(async () => {
  ;[world, other] = [await createWorld(), await createWorld()]
  auditor = await world.token({ sub: 'audit', roles: ['auditor'] })
  const token = await world.agentToken()
  const asks = [asking('read'), refund(501), asking('export'), asking('read')]
  ids = []
  for (const ask of asks) ids.push((await world.evaluate(ask, { token })).context.evaluation_id)
  await other.evaluate(asking('read'), { token: await other.agentToken() })
})

type Page = {
  receipts: { seq: number; body: { decision: { evaluation_id: string; outcome: string } } }[]
  next?: string
}
const page = async (query = '', token = auditor): Promise<Page> => {
  const response = await world.send('GET', `/v1/receipts${query}`, undefined, { token })
  expect(response.status).toBe(200)
  return response.json<Page>()
}
const idsOf = ({ receipts }: Page): string[] => receipts.map(({ body }) => body.decision.evaluation_id)

describe('before a flush', () => {
  it('the record is empty, and the backlog shows nothing of other tenants', async () => {
    expect(await page()).toEqual({ receipts: [] })
  })
})

describe('after it', () => {
  beforeAll(async () => {
    clock.advance(2_000)
    for (const each of [world, other]) expect(await runDurableObjectAlarm(each.object())).toBe(true)
  })

  it('every decision is there, newest first', async () => {
    expect(idsOf(await page())).toEqual(ids.toReversed())
  })

  it('page by page, none missing and none twice', async () => {
    const seen: string[] = []
    let query = '?limit=3'
    for (let pages = 0; pages < 5; pages++) {
      const { next, ...rest } = await page(query)
      seen.push(...idsOf({ ...rest }))
      if (next === undefined) break
      query = `?limit=3&cursor=${encodeURIComponent(next)}`
    }
    expect(seen).toEqual(ids.toReversed())
  })

  it('by agent and by outcome', async () => {
    expect(idsOf(await page(`?agent=${encodeURIComponent('Agent::"clerk"')}&outcome=deny`))).toEqual([ids[2], ids[1]])
    expect(await page(`?agent=${encodeURIComponent('Agent::"helper"')}`)).toEqual({ receipts: [] })
  })

  it('one by its id, of this tenant alone', async () => {
    const mine = await world.send('GET', `/v1/decisions/${ids[1]}`, undefined, { token: auditor })
    expect(await mine.json()).toMatchObject({ body: { decision: { evaluation_id: ids[1], outcome: 'deny' } } })
    const theirs = await other.send('GET', `/v1/decisions/${ids[1]}`, undefined, {
      token: await other.token({ roles: ['auditor'] }),
    })
    expect((await problemIn(theirs)).status).toBe(404)
    expect((await problemIn(await world.send('GET', '/v1/decisions/none', undefined, { token: auditor }))).status).toBe(
      404,
    )
  })

  it.each([
    '?limit=0',
    '?limit=201',
    '?limit=x',
    '?outcome=maybe',
    '?cursor=x',
    '?cursor=%00',
    '?cursor=',
    '?agent=clerk',
    '?agent=Agent::"clerk',
    '?user=User::"lea\\"',
    '?resource=record',
    '?since=2026-11-20T09:00:00%2B01',
    '?until=2026-02-30T09:00:00Z',
    '?agnt=x',
  ])('a question that is none: %s', async query => {
    const response = await world.send('GET', `/v1/receipts${query}`, undefined, { token: auditor })
    expect(response.status).toBe(400)
    expect((await problemIn(response)).pointer).toBe(`/${query.slice(1).split('=')[0]}`)
  })

  it('of no one agent, by the name of their chain', async () => {
    const admin = await world.token({ sub: 'boss', roles: ['admin'] })
    const target = { kind: 'tool', id: 'mailer' }
    expect((await world.post('/v1/kills', { target, reason: 'a drill' }, { token: admin })).status).toBe(200)
    clock.advance(2_000)
    await runDurableObjectAlarm(env.AGENT.getByName(nameOf('kills', world.tenant)))
    expect((await page('?agent=kill-switches')).receipts).toHaveLength(1)
    for (const chain of ['record', 'unattributed/3', 'searches/0'])
      expect(await page(`?agent=${chain}`), chain).toEqual({ receipts: [] })
  })

  it('is not for agents, PEPs and approvers', async () => {
    for (const token of [await world.agentToken(), await world.pepToken(), await world.token({ roles: ['approver'] })])
      for (const path of ['/v1/receipts', `/v1/decisions/${ids[0]}`, '/v1/backlog'])
        expect((await problemIn(await world.send('GET', path, undefined, { token }))).reason).toBe('forbidden_role')
  })
})

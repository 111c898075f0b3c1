import { env } from 'cloudflare:workers'
import { expect, it } from 'vitest'
import { type Filter, type Recorded, receiptOf, receiptsOf } from '../../src/audit/store.ts'
import { chainOf, ids, T0 } from './build.ts'

const store = async (...calls: ReturnType<typeof chainOf>[]) => {
  const collector = env.COLLECTOR.getByName('store')
  for (const call of calls) await collector.collect(call)
}

const all = async (tenant: string, filter: Filter, limit: number): Promise<Recorded[]> => {
  const found: Recorded[] = []
  let cursor: string | undefined
  do {
    const page = await receiptsOf(env.DB, tenant, filter, { limit, ...(cursor !== undefined && { cursor }) })
    expect(page?.receipts.length).toBeLessThanOrEqual(limit)
    found.push(...(page?.receipts ?? []))
    cursor = page?.next
  } while (cursor !== undefined)
  return found
}

it('a decision is found by its id, by its tenant alone', async () => {
  const call = chainOf([{ user: 'ann' }], { tenant: 'one' })
  await store(call)
  const [id = ''] = ids(call)
  expect(await receiptOf(env.DB, 'one', id)).toMatchObject({
    v: 1,
    tenant: 'one',
    agent: call.agent,
    chain: call.chain,
    seq: 1,
    kind: 'decision',
    body: { decision: { evaluation_id: id } },
    secrets: { user: { value: { type: 'User', id: 'ann' } } },
  })
  expect(await receiptOf(env.DB, 'two', id)).toBeUndefined()
})

it('pages go from the newest to the oldest, each receipt once, though many have one time', async () => {
  const agents = ['a', 'b', 'c'].map(name =>
    chainOf(
      Array.from({ length: 7 }, (_, n) => ({ at: T0 + Math.floor(n / 3), outcome: n % 2 ? 'deny' : 'allow' })),
      { tenant: 'paged', agent: name },
    ),
  )
  await store(...agents, chainOf([{}], { tenant: 'other' }))

  const found = await all('paged', {}, 4)
  expect(found).toHaveLength(21)
  expect(new Set(found.map(({ hash }) => hash)).size).toBe(21)
  expect(found.map(({ at }) => at)).toEqual(found.map(({ at }) => at).sort((a, b) => b - a))

  expect((await all('paged', { agent: 'b' }, 3)).map(({ seq }) => seq)).toEqual([7, 6, 5, 4, 3, 2, 1])
  const denied = await all('paged', { outcome: 'deny' }, 2)
  expect(denied).toHaveLength(9)
  expect(await all('paged', { agent: 'b', outcome: 'deny' }, 2)).toHaveLength(3)
  expect(await all('nobody', {}, 4)).toEqual([])
})

it('a page is not moved by what is written after it', async () => {
  const first = chainOf([{ at: T0 }, { at: T0 + 1 }, { at: T0 + 2 }], { tenant: 'moving' })
  await store(first)
  const page = await receiptsOf(env.DB, 'moving', {}, { limit: 2 })
  await store(chainOf([{ at: T0 + 3 }], { tenant: 'moving' }))
  const rest = await receiptsOf(env.DB, 'moving', {}, { limit: 2, cursor: page?.next ?? '' })
  expect(rest?.receipts.map(({ seq }) => seq)).toEqual([1])
  expect(rest?.next).toBeUndefined()
})

it.each(['', 'x', 'bm9uc2Vuc2U', btoa('[1]'), btoa('["a",2]'), btoa('{"at":1}')])('%s is no cursor', async cursor => {
  expect(await receiptsOf(env.DB, 'acme', {}, { limit: 2, cursor })).toBeUndefined()
})

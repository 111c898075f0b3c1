import { evictDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { CollectCall } from '../../src/agent/calls/receipts.ts'
import { broken, mend } from '../doubles.ts'
import { chainOf, ids, T0 } from './build.ts'

beforeEach(mend)
afterEach(mend)

const newCollector = () => env.COLLECTOR.getByName(crypto.randomUUID())

const rowsOf = async ({ chain }: CollectCall) => {
  const { results } = await env.DB.prepare('SELECT * FROM receipts WHERE chain = ? ORDER BY seq').bind(chain).all()
  return results
}

it('writes what comes at one time together', async () => {
  const collector = newCollector()
  const calls = Array.from({ length: 40 }, () => chainOf([{}, {}, {}]))
  const replies = await Promise.all(calls.map(call => collector.collect(call)))
  expect(replies).toEqual(calls.map(() => ({ kind: 'stored', seq: 3 })))
  for (const call of calls) expect(await rowsOf(call)).toHaveLength(3)
  expect(broken.writes).toBeLessThanOrEqual(5)
})

it('writes large receipts within the bounds of a D1 statement', async () => {
  const collector = newCollector()
  const large = { body: { arguments: '"\u00e9\\'.repeat(20_000) } }
  const calls = Array.from({ length: 12 }, () => chainOf([large, large]))
  const replies = await Promise.all(calls.map(call => collector.collect(call)))
  expect(replies).toEqual(calls.map(() => ({ kind: 'stored', seq: 2 })))
  expect(await rowsOf(chainOf([large]))).toEqual([])
  for (const call of calls) expect((await rowsOf(call)).map(row => row.body)).toEqual(call.receipts.map(r => r.body))
})

it('keeps the exact texts, and what they are searched by beside them', async () => {
  const call = chainOf([
    { user: 'ann', resource: 'a"\\\u0000b' },
    { outcome: 'deny', body: { resource: undefined } },
  ])
  await newCollector().collect(call)
  const [first, second] = await rowsOf(call)
  const receipt = call.receipts[0]
  expect(first).toMatchObject({
    tenant: 'acme',
    agent: call.agent,
    seq: 1,
    hash: receipt?.hash,
    prev: '-',
    kind: 'decision',
    at: T0,
    body_commit: receipt?.bodyCommit,
    body: receipt?.body,
    secrets: receipt?.secrets,
    evaluation_id: ids(call)[0],
    caller: 'issuer/agent',
    user: 'User::"ann"',
    action: 'refund',
    resource: 'Order::"a\\"\\\\\\u{0}b"',
    outcome: 'allow',
    reason: 'permitted',
  })
  expect(second).toMatchObject({ seq: 2, prev: receipt?.hash, outcome: 'deny', user: null })
})

it('keeps numbers and characters as they were written', async () => {
  const numbers = [0, -1, 0.1, 1e-7, 5e-324, 1e21, 1.7976931348623157e308, 9007199254740991]
  const texts = ['\u0000\u001f\u007f', '\u2028\u2029', '\u{1F600}\uFFFF', '"/\\\b\f\n\r\t', '']
  const call = chainOf([{ body: { numbers, texts, nested: [[], {}, null, true, { '': { '\u{1F600}': [false] } }] } }])
  await newCollector().collect(call)
  const [row] = await rowsOf(call)
  expect(row?.body).toBe(call.receipts[0]?.body)
  expect(row?.secrets).toBe(call.receipts[0]?.secrets)
})

it('writes each receipt once, however often it is sent', async () => {
  const collector = newCollector()
  const call = chainOf([{}, {}])
  const replies = await Promise.all([collector.collect(call), collector.collect(call), newCollector().collect(call)])
  for (const reply of replies) expect(reply).toEqual({ kind: 'stored', seq: 2 })
  expect(await rowsOf(call)).toHaveLength(2)
})

it('a fork stops that chain alone, and adds nothing to it', async () => {
  const collector = newCollector()
  const chain = crypto.randomUUID()
  const [real, other, innocent] = [chainOf([{}, {}], { chain }), chainOf([{}, {}, {}], { chain }), chainOf([{}])]
  await collector.collect(real)
  const replies = await Promise.all([collector.collect(innocent), collector.collect(other)])
  expect(replies).toEqual([
    { kind: 'stored', seq: 1 },
    { kind: 'fork', seq: 1 },
  ])
  expect((await rowsOf(real)).map(row => row.hash)).toEqual(real.receipts.map(({ hash }) => hash))
  expect(await collector.backlog()).toEqual({ chains: [], forks: [{ chain, agent: other.agent, seq: 1 }] })
})

it('one evaluation has one receipt: a second is a fork of the chain that brings it, and harms no other', async () => {
  const collector = newCollector()
  const first = chainOf([{}])
  const [decision] = first.receipts.map(({ body }) => JSON.parse(body).decision)
  await collector.collect(first)
  const [second, innocent] = [chainOf([{ body: { decision } }]), chainOf([{}])]
  expect(await Promise.all([collector.collect(second), collector.collect(innocent)])).toEqual([
    { kind: 'fork', seq: 1 },
    { kind: 'stored', seq: 1 },
  ])
})

it('says which chains wait, since when and why, also after a restart, until they are stored', async () => {
  const collector = newCollector()
  const [old, young] = [chainOf([{ at: T0 }, { at: T0 + 9 }]), chainOf([{ at: T0 + 5 }])]
  broken.d1 = true
  expect(await collector.collect(young)).toEqual({ kind: 'unavailable' })
  expect(await collector.collect(old)).toEqual({ kind: 'unavailable' })
  const error = expect.stringContaining('cut off')
  expect(await collector.backlog()).toEqual({
    chains: [
      { chain: old.chain, agent: old.agent, since: T0, error },
      { chain: young.chain, agent: young.agent, since: T0 + 5, error },
    ],
    forks: [],
  })
  await evictDurableObject(collector)
  mend()
  expect((await collector.backlog()).chains).toHaveLength(2)
  await collector.collect(old)
  expect((await collector.backlog()).chains.map(({ chain }) => chain)).toEqual([young.chain])
  await collector.collect(young)
  expect(await collector.backlog()).toEqual({ chains: [], forks: [] })
})

import { env } from 'cloudflare:workers'
import { expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { BOUND_SECONDS, createEpochs } from '../../src/policy/epochs.ts'

/** An isolate, asked at a time in seconds; and a KV that can be cut off. */
const isolate = () => {
  const tenant = crypto.randomUUID()
  const epochs = createEpochs()
  let cut = false
  const get = (key: string) => (cut ? Promise.reject(new Error('KV is cut off')) : env.BUNDLES.get(key))
  return {
    put: (seq: number) => env.BUNDLES.put(nameOf('epoch', tenant), JSON.stringify({ v: 1, seq, targets: [] })),
    cut: () => {
      cut = true
    },
    at: async (seconds: number) => {
      const waits: Promise<unknown>[] = []
      const waitUntil = (work: Promise<unknown>) => void waits.push(work)
      const epoch = await epochs.current(tenant, { kv: { get }, now: seconds * 1_000, waitUntil, local: true })
      await Promise.all(waits)
      return epoch?.seq
    },
  }
}

it('an isolate that was idle reads the switches first: with KV a minute late, two are the most', async () => {
  const { put, at } = isolate()
  await put(1)
  // switched at 0, seen in KV from 60 on
  expect(await at(59)).toBe(1)
  await put(2)
  expect(await at(120)).toBe(2)
})

it('past the bound without an answer nothing may be allowed; with what KV is late by, that is what is stated', async () => {
  const { put, at, cut } = isolate()
  await put(1)
  expect(await at(60)).toBe(1)
  cut()
  for (const seconds of [90, 121, 179]) expect(await at(seconds)).toBe(1)
  expect(await at(BOUND_SECONDS)).toBeUndefined()
})

it('an isolate never goes back', async () => {
  const { put, at } = isolate()
  await put(2)
  expect(await at(0)).toBe(2)
  await put(1)
  expect(await at(200)).toBe(2)
})

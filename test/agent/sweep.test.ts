import { runInDurableObject } from 'cloudflare:test'
import { expect, it } from 'vitest'
import { sweeping } from '../../src/agent/sweep.ts'
import { decided, item, limited, newAgent, T0 } from './build.ts'

const DAY_MS = 86_400_000

it('what is as good as absent is removed, and what still counts stays', async () => {
  const agent = newAgent()
  await decided(agent, item({ idempotency: { key: 'k', requestHash: 'request' }, program: limited(1) }))

  await runInDurableObject(agent.stub, (_, { storage }) => {
    const rows = () => ['reply', 'meter'].map(table => storage.sql.exec(`SELECT * FROM ${table}`).toArray().length)
    const early = sweeping(storage, () => T0 + 1_000)
    early.run('')
    expect(rows()).toEqual([1, 1])
    expect(early.next('')).toBeGreaterThan(T0)

    const late = sweeping(storage, () => T0 + 40 * DAY_MS)
    late.run('')
    expect(rows()).toEqual([0, 0])
    expect(late.next('')).toBeUndefined()
  })
})

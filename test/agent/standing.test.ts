import { evictDurableObject } from 'cloudflare:test'
import { expect, it } from 'vitest'
import { wrongLinks } from '../audit/verify.ts'
import { chainOf, decided, item, newAgent, T0, type TestAgent } from './build.ts'

const order = ({ tenant, agent }: TestAgent, at = T0) =>
  ({ v: 1, tenant, agent, by: 'issuer/admin', reason: 'spends too much', at }) as const

it('the next decision of a suspended agent is a denial, on record', async () => {
  const agent = newAgent()
  await decided(agent, item())
  const standing = await agent.stub.suspend(order(agent, T0 + 1))
  expect(standing).toMatchObject({
    suspended: true,
    since: T0 + 1,
    confirmedAt: T0 + 1,
    changed: true,
    receipt: { seq: 2 },
  })
  expect(await decided(agent, item())).toMatchObject({ outcome: 'deny', reason: 'suspended', receipt: { seq: 3 } })
  const unfit = item({ denied: { reason: 'schema_mismatch' } })
  expect(await decided(agent, unfit)).toMatchObject({ reason: 'suspended' })
  await evictDurableObject(agent.stub)
  expect(await decided(agent, item())).toMatchObject({ reason: 'suspended' })
})

it('an agent that was never heard of can be suspended before it begins', async () => {
  const agent = newAgent()
  await agent.stub.suspend(order(agent))
  expect(await decided(agent, item())).toMatchObject({ reason: 'suspended' })
})

it('resuming lets it go on', async () => {
  const agent = newAgent()
  await agent.stub.suspend(order(agent))
  expect(await agent.stub.resume(order(agent, T0 + 9))).toMatchObject({
    suspended: false,
    since: T0 + 9,
    changed: true,
  })
  expect(await decided(agent, item())).toMatchObject({ outcome: 'allow' })
})

it('suspending twice leaves one receipt, and both answers say since when', async () => {
  const agent = newAgent()
  const orders = await Promise.all([agent.stub.suspend(order(agent)), agent.stub.suspend(order(agent, T0 + 5))])
  expect(orders).toMatchObject([
    { since: T0, confirmedAt: T0, changed: true },
    { since: T0, confirmedAt: T0 + 5, changed: false },
  ])
  expect(await chainOf(agent)).toHaveLength(1)
})

it('who did it and why is on the chain, erasable', async () => {
  const agent = newAgent()
  await agent.stub.suspend(order(agent))
  await agent.stub.resume(order(agent))
  const receipts = await chainOf(agent)
  expect(receipts.map(({ kind }) => kind)).toEqual(['suspension', 'resumption'])
  expect(receipts[0]?.body).not.toContain('admin')
  expect(JSON.parse(receipts[0]?.secrets ?? '')).toMatchObject({
    caller: { value: 'issuer/admin' },
    reason: { value: 'spends too much' },
  })
  expect(wrongLinks(agent.name, receipts)).toEqual([])
})

it('a suspended agent gets no permit from a retry either', async () => {
  const agent = newAgent()
  const keyed = () => item({ idempotency: { key: 'k', requestHash: 'request' } })
  const first = await decided(agent, keyed())
  await agent.stub.suspend(order(agent))
  expect(await decided(agent, keyed())).toMatchObject({ outcome: 'deny', reason: 'suspended' })
  await agent.stub.resume(order(agent))
  expect(await decided(agent, keyed())).toEqual({ ...first, replayed: true })
})

it('status says how it stands, and nothing of an object that was never asked', async () => {
  const agent = newAgent()
  expect(await agent.stub.status()).toBeUndefined()
  await decided(agent, item())
  expect(await agent.stub.status()).toMatchObject({
    suspended: false,
    bundle: { seq: 1, hash: 'bundle-1' },
    head: { seq: 1, at: T0 },
    unflushed: { count: 1, since: T0 },
  })
  await agent.stub.suspend(order(agent))
  expect(await agent.stub.status()).toMatchObject({ suspended: true, since: T0, by: 'issuer/admin' })
})

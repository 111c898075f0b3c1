import { expect, it } from 'vitest'
import { sessionValue } from '../../src/agent/session.ts'
import { decided, item, newAgent, T0 } from './build.ts'

it('a session of long names stays small, and says nothing of resources once it has passed over one', async () => {
  const agent = newAgent()
  const touch = async (n: number) => {
    const resource = `Order::"${n}${'x'.repeat(3_000)}"`
    await decided(agent, item({ step: { session: 's', action: 'view', resource, type: 'Order' } }), { now: T0 + n })
    const { state, wrong } = (await agent.stub.session('s')) ?? {}
    expect(wrong).toBeUndefined()
    return { size: JSON.stringify(state).length, says: sessionValue(state, T0, 0).fields.has('resources') }
  }
  for (let n = 0; n < 20; n++) expect((await touch(n)).says).toBe(true)
  for (let n = 20; n < 40; n++) expect((await touch(n)).size).toBeLessThan(70_000)
  expect((await touch(41)).says).toBe(false)
})

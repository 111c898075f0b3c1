import { afterEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { asking, createWorld, refund, type World } from '../http/world.ts'
import { GRANT } from './delegating.ts'

/** Issuers choose the names of the grants in their tokens: one that is that of a policy says nothing of the policy. */
afterEach(() => clock.reset())

const granted = (world: World, grant: string, actions: string[]): Promise<string> =>
  world.agentToken('clerk', { authorization_details: [{ ...GRANT, grant, actions }] })

/** A desk on which a permit that doesn't hold for agents carries annotations. */
const annotated = (annotations: Record<string, string>) =>
  createWorld({
    change: bundle => {
      const { 'leads-refund': policy, ...others } = bundle.policies.staticPolicies ?? {}
      if (!policy) throw new Error('the fixture has no such policy')
      const changed = { ...policy, annotations: { ...policy.annotations, ...annotations } }
      bundle.policies = { ...bundle.policies, staticPolicies: { ...others, 'leads-refund': changed } }
    },
  })

describe('a grant that is named like a policy', () => {
  it.each([[{ clamp: 'arguments.amount <= 300' }], [{ set: 'arguments.amount = 5' }], [{ mask: 'resource.ssn' }]])(
    'does not do what that rewrites: %j',
    async annotations => {
      const world = await annotated(annotations)
      const context = { supported_obligations: ['custom'] }
      const token = await granted(world, 'leads-refund', ['refund'])
      const answer = await world.evaluate({ ...refund(400), context }, { token })
      expect(answer.context).toMatchObject({ outcome: 'allow', reason: 'permitted' })
      for (const member of ['arguments', 'mask', 'obligations']) expect(answer.context).not.toHaveProperty(member)
      const scope = await world.post('/v1/scope', { ...refund(400), context, resource: { type: 'Order' } }, { token })
      expect(await scope.json()).not.toHaveProperty('mask')
      // The same permit, where it holds, does.
      const user = { type: 'User', id: 'lea' }
      const lead = await world.evaluate(
        { ...refund(400), context },
        { token: await world.agentToken('clerk', { user }) },
      )
      expect(lead.context.outcome).toBe('modify')
    },
  )

  it.each([[{ log: 'ticket' }], [{ report: '15m' }]])('has none of its duties: %j', async annotations => {
    const world = await annotated(annotations)
    const answer = await world.evaluate(refund(400), { token: await granted(world, 'leads-refund', ['refund']) })
    expect(answer.context).toMatchObject({ outcome: 'allow', reason: 'permitted' })
    expect(answer.context).not.toHaveProperty('obligations')
    const user = { type: 'User', id: 'lea' }
    const lead = await world.evaluate(refund(400), { token: await world.agentToken('clerk', { user }) })
    if ('log' in annotations) expect(lead.context.reason).toBe('duty_missing')
    else expect(lead.context).toHaveProperty('obligations')
  })

  it('spends none of its budget', async () => {
    const world = await annotated({ budget: 'arguments.amount <= 100 per 1d' })
    const token = await granted(world, 'leads-refund', ['refund'])
    for (let times = 0; times < 3; times++)
      expect((await world.evaluate(refund(90), { token })).context.reason).toBe('permitted')
    const lead = { token: await world.agentToken('clerk', { user: { type: 'User', id: 'lea' } }) }
    expect((await world.evaluate(refund(90), lead)).context.reason).toBe('permitted')
    expect((await world.evaluate(refund(90), lead)).context.reason).toBe('budget_exhausted')
  })

  it('neither counts with its limit nor forbids in its place', async () => {
    const world = await createWorld()
    const pinging = await granted(world, 'three-pings', ['ping'])
    for (const reason of ['permitted', 'permitted', 'permitted', 'rate_limited'])
      expect((await world.evaluate(asking('ping'), { token: pinging })).context.reason).toBe(reason)
    // A limit of that policy leaves other actions alone, whatever the grant is called.
    const refunding = await granted(world, 'three-pings', ['refund'])
    expect((await world.evaluate(refund(1), { token: refunding })).context.reason).toBe('permitted')
    const capped = await granted(world, 'refund-cap', ['refund'])
    expect((await world.evaluate(refund(400), { token: capped })).context.reason).toBe('permitted')
  })

  it('is not named as the policy that decided', async () => {
    const world = await createWorld({ settings: { explain_to_agents: true } })
    const token = await granted(world, 'leads-refund', ['refund'])
    expect((await world.evaluate(refund(1), { token })).context.policies).toEqual(['agents-refund'])
  })
})

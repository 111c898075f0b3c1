import fc from 'fast-check'
import { expect, it } from 'vitest'
import { evaluate } from '../../src/cedar/evaluate.ts'
import { entityRef } from '../../src/cedar/value.ts'
import { compile } from '../../src/cli/compile.ts'
import { isRefusal } from '../../src/decision/refusal.ts'
import { what } from '../../src/decision/what.ts'
import { who } from '../../src/decision/who.ts'
import { beyond } from '../../src/delegation/beyond.ts'
import { narrow } from '../../src/delegation/narrow.ts'
import { isOAuthRefusal } from '../../src/delegation/refusal.ts'
import { isWithin } from '../../src/delegation/within.ts'
import type { Caller } from '../../src/identity/caller.ts'
import { GRANT_TYPE, type Grant, type GrantItem } from '../../src/identity/grant.ts'
import { grantPolicies } from '../../src/identity/grant-policy.ts'
import { loadBundle } from '../../src/policy/load.ts'

/** `COMPARISONS=100000` for more. */
const COMPARISONS = Number(process.env.COMPARISONS ?? 5_000)
const { bundle: written } = await compile('test/fixtures/desk')
if (!written) throw new Error('the fixture has errors')
const loaded = loadBundle(written, { tenant: written.settings.tenant, seq: 1, hash: 'h', local: true })
if (!loaded.ok) throw new Error(loaded.problem)
const { bundle } = loaded
const { schema } = bundle
const refund = schema.actions.get(entityRef('Action', 'refund').key)
if (!refund) throw new Error('the fixture has no refunds')

/** One condition or two: of more hardly anything fits. */
const ordered = <T>(values: fc.Arbitrary<T>) => {
  const bound = fc.oneof(
    values.map(lt => ({ lt })),
    values.map(lte => ({ lte })),
    values.map(gt => ({ gt })),
    values.map(gte => ({ gte })),
  )
  return fc.oneof(
    values.map(eq => ({ eq })),
    fc.array(values, { minLength: 1, maxLength: 3 }).map(list => ({ in: list })),
    bound,
    fc.tuple(bound, bound).map(([one, other]) => ({ ...one, ...other })),
  )
}
const amount = fc.integer({ min: -1, max: 4 })
const rate = fc.constantFrom(0.5, '0.50', 1, '1.5', 1.5)
const since = fc.constantFrom('2026-01-01', '2026-01-02', '2026-01-03')
const tag = fc.constantFrom('a', 'b', 'c')
const tags = fc.uniqueArray(tag, { maxLength: 3 })
const conditionsOf = {
  amount: ordered(amount),
  rate: ordered(rate),
  since: ordered(since),
  tags: fc.oneof(
    tags.map(within => ({ within })),
    tags.map(eq => ({ eq })),
  ),
}
const conditions = fc
  .record(conditionsOf, { requiredKeys: [] })
  // Two arguments at most.
  .map(all => Object.fromEntries(Object.entries(all).slice(0, 2)))
const resource = fc.constantFrom<NonNullable<GrantItem['resources']>[number]>(
  { type: 'Order', id: '7' },
  { type: 'Order', id: '8' },
  { type: 'Order' },
  { type: 'Ledger' },
  { in: { type: 'Order', id: '7' } },
  { in: { type: 'Order', id: '7' }, type: 'Order' },
)
const item = (actions: string[]): fc.Arbitrary<GrantItem> =>
  fc.record(
    {
      type: fc.constant(GRANT_TYPE),
      actions: fc.uniqueArray(fc.constantFrom(...actions), { minLength: 1, maxLength: 2 }),
      resources: fc.array(resource, { minLength: 1, maxLength: 2 }),
      arguments: conditions,
    },
    { requiredKeys: ['type', 'actions'] },
  )
const asked = fc.record({
  action: fc.constantFrom('refund', 'read', 'ping'),
  id: fc.constantFrom('7', '8'),
  properties: fc.record({ amount, rate, since, tags }, { requiredKeys: ['amount'] }),
})
type Asked = { action: string; id: string; properties: Record<string, unknown> }

/** What Cedar makes of a grant for a request. */
const permits = (items: readonly GrantItem[], asking: Asked): boolean => permitting(items)(asking)

const permitting = (items: readonly GrantItem[]) => {
  const policies = grantPolicies({ id: 'g', items }, schema)
  return (asking: Asked): boolean => {
    const { entities, ...request } = requestOf(asking)
    return evaluate(policies, request, entities).permit.satisfied.length > 0
  }
}

const requestOf = ({ action, id, properties }: Asked) => {
  const actor = { type: 'Agent', id: 'clerk' }
  const caller: Caller = {
    name: 'x',
    issuer: 'x',
    roles: ['agent'],
    principals: { actor, chain: [] },
    admitted: false,
    userAdmitted: false,
    groups: [],
  }
  const args = action === 'refund' ? properties : {}
  const ask = { subject: actor, action: { name: action, properties: args }, resource: { type: 'Order', id } }
  const by = who(ask, caller, bundle)
  if (isRefusal(by)) throw new Error(by.reason)
  const read = what(ask, by, bundle, { now: 0 })
  if ('reason' in read) throw new Error(read.reason)
  return {
    principal: actor,
    action: read.action,
    resource: read.resource,
    context: read.context,
    entities: read.entities,
  }
}

const some = item(['refund', 'read', 'ping']).map(
  // Only refunds have arguments.
  ({ arguments: terms, ...rest }) => ({
    ...rest,
    ...(terms && !/read|ping/.test(rest.actions.join()) && { arguments: terms }),
  }),
)
const requests = fc.array(asked, { minLength: 20, maxLength: 20 })

/** By argument: every value that the conditions can tell apart. */
const values: Record<string, unknown[]> = {
  amount: [-1, 0, 1, 2, 3, 4, 5],
  rate: [0.5, 1, 1.5],
  since: ['2026-01-01', '2026-01-02', '2026-01-03'],
  tags: [[], ['a'], ['b'], ['c'], ['a', 'b'], ['a', 'c'], ['b', 'c'], ['a', 'b', 'c']],
}
const pairOf = (name: string, condition: fc.Arbitrary<object>) => {
  const one: fc.Arbitrary<GrantItem> = fc
    .record(
      { resources: fc.array(resource, { minLength: 1, maxLength: 2 }), condition, expires_at: fc.constantFrom(1, 2) },
      { requiredKeys: [] },
    )
    .map(({ condition: terms, ...rest }) => ({
      type: GRANT_TYPE,
      actions: ['refund'],
      ...(terms && { arguments: { [name]: terms } }),
      ...rest,
    }))
  return fc.record({ name: fc.constant(name), given: one, other: one })
}
const pairs = fc.oneof(...Object.entries(conditionsOf).map(([name, condition]) => pairOf(name, condition)))

it(`what is said to be within another grant permits nothing that the other does not: ${COMPARISONS} pairs`, () => {
  const seen = { within: 0, comparisons: 0, permitted: 0 }
  fc.assert(
    fc.property(pairs, ({ name, given, other }) => {
      if (!isWithin(given, other, refund)) return
      seen.within++
      expect(given.expires_at ?? 3).toBeLessThanOrEqual(other.expires_at ?? 3)
      const [mine, others] = [permitting([given]), permitting([other])]
      for (const value of values[name] ?? [])
        for (const id of ['7', '8']) {
          const request = { action: 'refund', id, properties: { amount: 0, [name]: value } }
          seen.comparisons++
          if (!mine(request)) continue
          seen.permitted++
          expect(others(request)).toBe(true)
        }
    }),
    { numRuns: COMPARISONS },
  )
  console.log(seen)
  expect(seen.within).toBeGreaterThan(COMPARISONS / 25)
  expect(seen.permitted).toBeGreaterThan(COMPARISONS / 25)
})

it(`a widened child may do nothing beyond its parent’s grants but what is shown as added: ${COMPARISONS} comparisons`, () => {
  const seen = { comparisons: 0, widened: 0, only: 0 }
  const grants = fc.array(fc.array(some, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 2 })
  fc.assert(
    fc.property(grants, fc.array(some, { minLength: 1, maxLength: 2 }), requests, (held, wanted, list) => {
      if (seen.comparisons >= COMPARISONS) return
      const parent = held.map((items, index): Grant => ({ id: `g${index}`, items }))
      const child = narrow(parent, wanted, 'child', schema, { widening: true })
      if (isOAuthRefusal(child)) return
      const added = child.added ?? []
      if (added.length > 0) seen.widened++
      for (const request of list) {
        seen.comparisons++
        const may = child.grants.every(({ items }) => permits(items, request))
        const lacking = parent.filter(({ items }) => !permits(items, request))
        if (may && lacking.length > 0) seen.only++
        for (const grant of lacking) {
          const items = added.find(addition => addition.grant === grant.id)?.items ?? []
          expect(may && !permits(items, request)).toBe(false)
        }
        // And all that it asked for by name it has, once that was allowed.
        expect(may).toBe(
          permits(wanted, request) &&
            parent.every(grant => permits([...grant.items, ...beyond(wanted, grant, schema).items], request)),
        )
      }
    }),
    { numRuns: COMPARISONS },
  )
  console.log(seen)
  expect(seen.widened).toBeGreaterThan(COMPARISONS / 200)
  expect(seen.only).toBeGreaterThan(COMPARISONS / 200)
})

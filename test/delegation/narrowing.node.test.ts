import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { EntityUid } from '../../src/cedar/json.ts'
import { compile } from '../../src/cli/compile.ts'
import { programOf } from '../../src/decision/legs.ts'
import { isRefusal } from '../../src/decision/refusal.ts'
import { what } from '../../src/decision/what.ts'
import { who } from '../../src/decision/who.ts'
import { narrow } from '../../src/delegation/narrow.ts'
import { isOAuthRefusal } from '../../src/delegation/refusal.ts'
import type { Caller } from '../../src/identity/caller.ts'
import { GRANT_TYPE, type Grant, type GrantItem } from '../../src/identity/grant.ts'
import type { PrincipalChain } from '../../src/identity/principals.ts'
import { loadBundle } from '../../src/policy/load.ts'
import { settle } from '../../src/settle/settle.ts'

/** `COMPARISONS=100000` for the whole proof. */
const COMPARISONS = Number(process.env.COMPARISONS ?? 5_000)
const NOW = 1_800_000_000_000

const { bundle: written } = await compile('test/fixtures/desk')
if (!written) throw new Error('the fixture has errors')
const loaded = loadBundle(written, { tenant: written.settings.tenant, seq: 1, hash: 'h', local: true })
if (!loaded.ok) throw new Error(loaded.problem)
const { bundle } = loaded

const agents = ['clerk', 'helper', 'outsider'].map((id): EntityUid => ({ type: 'Agent', id }))
const users = ['lea', 'ned'].map((id): EntityUid => ({ type: 'User', id }))
const actionNames = ['read', 'refund', 'ping', 'sweep', 'annotate'] as const
const orders = ['7', '8', 'closed']

const amount = fc.integer({ min: -1, max: 6 }).map(n => n * 100)
const condition = fc.oneof(
  amount.map(lte => ({ lte })),
  amount.map(gt => ({ gt })),
  fc.array(amount, { minLength: 1, maxLength: 3 }).map(list => ({ in: list })),
  amount.map(eq => ({ eq })),
)
const resource = fc.oneof(
  fc.constantFrom(...orders).map(id => ({ type: 'Order', id })),
  fc.constant({ type: 'Order' }),
  fc.constant({ in: { type: 'Order', id: '7' } }),
)
const item: fc.Arbitrary<GrantItem> = fc
  .record(
    {
      actions: fc.uniqueArray(fc.constantFrom(...actionNames), { minLength: 1, maxLength: 3 }),
      resources: fc.array(resource, { minLength: 1, maxLength: 2 }),
      amount: condition,
      uses: fc.integer({ min: 1, max: 3 }),
      expires_at: fc.constantFrom(NOW / 1000 - 1, NOW / 1000 + 60),
    },
    { requiredKeys: ['actions'] },
  )
  .map(({ amount: of, actions, ...rest }) => ({
    type: GRANT_TYPE,
    // Only refunds have an amount.
    actions: of ? ['refund'] : actions,
    ...(of && { arguments: { amount: of } }),
    ...rest,
  }))

type Link = { agent: number; items: GrantItem[] }
const links: fc.Arbitrary<Link[]> = fc.array(
  fc.record({ agent: fc.nat(agents.length - 1), items: fc.array(item, { maxLength: 2 }) }),
  { minLength: 1, maxLength: 4 },
)
const asked = fc.record({
  action: fc.constantFrom(...actionNames),
  id: fc.constantFrom(...orders),
  amount,
})

type Holder = { principals: PrincipalChain; grants: Grant[]; purses: Map<string, number> }

/** The decision that a holder of this authority gets. */
const allowed = ({ principals, grants, purses }: Holder, request: { action: string; id: string; amount: number }) => {
  const caller: Caller = {
    name: 'x',
    issuer: 'x',
    roles: ['agent'],
    principals,
    admitted: false,
    userAdmitted: false,
    groups: [],
    grants,
  }
  const properties =
    request.action === 'refund' ? { amount: request.amount } : request.action === 'annotate' ? { text: 'a' } : {}
  const ask = {
    subject: principals.actor,
    action: { name: request.action, properties },
    resource: { type: 'Order', id: request.id },
  }
  const actor = who(ask, caller, bundle)
  if (isRefusal(actor)) throw new Error(actor.reason)
  const read = what(ask, actor, bundle, { now: NOW })
  if ('reason' in read) return false
  const state = {
    suspended: false,
    unsettled: false,
    meter: () => undefined,
    spent: () => undefined,
    held: () => ({ left: 0 }),
    purse: (purse: string) => purses.get(purse) ?? 0,
    finish: () => 'unknown' as const,
    approved: () => false,
  }
  return settle(programOf(actor, read, undefined, bundle, undefined, NOW), state, NOW).outcome === 'allow'
}

/** The next link, if the exchange would mint it. What is counted is moved. */
const next = (from: Holder, { agent, items }: Link, id: string): Holder | undefined => {
  const child = agents[agent]
  const narrowed = narrow(from.grants, items, id, bundle.schema)
  if (!child || isOAuthRefusal(narrowed)) return undefined
  const purses = new Map(from.purses)
  if (narrowed.slice) {
    const { purse, uses } = narrowed.slice
    const left = (purses.get(purse) ?? 0) - (uses ?? 0)
    if (left < 0) return undefined
  }
  if (narrowed.purse?.uses != null) purses.set(id, narrowed.purse.uses)
  const { actor, chain, user } = from.principals
  const same = actor.id === child.id
  return {
    principals: { actor: child, chain: same ? chain : [actor, ...chain], ...(user && { user }) },
    grants: narrowed.grants,
    purses,
  }
}

it(`whatever a child may do, every link above it may do: ${COMPARISONS} comparisons`, () => {
  const seen = { comparisons: 0, childAllows: 0, onlyParentAllows: 0, links: 0 }
  fc.assert(
    fc.property(
      fc.nat(agents.length - 1),
      fc.option(fc.constantFrom(...users), { nil: undefined }),
      links,
      fc.array(asked, { minLength: 20, maxLength: 20 }),
      (root, user, chain, requests) => {
        const first = agents[root]
        if (!first || seen.comparisons >= COMPARISONS) return
        const holders: Holder[] = [
          { principals: { actor: first, chain: [], ...(user && { user }) }, grants: [], purses: new Map() },
        ]
        for (const [depth, link] of chain.entries()) {
          const from = holders.at(-1)
          const holder = from && next(from, link, `g${depth}`)
          if (holder) holders.push(holder)
        }
        seen.links += holders.length - 1
        for (const request of requests) {
          const verdicts = holders.map(holder => allowed(holder, request))
          for (const [below, verdict] of verdicts.entries()) {
            for (const above of verdicts.slice(0, below)) {
              seen.comparisons++
              if (verdict) seen.childAllows++
              if (above && !verdict) seen.onlyParentAllows++
              expect(verdict && !above).toBe(false)
            }
          }
        }
      },
    ),
    { numRuns: COMPARISONS, endOnFailure: true },
  )
  console.log(seen)
  expect(seen.comparisons).toBeGreaterThanOrEqual(COMPARISONS)
  // The proof says something: children are allowed much, and stopped much.
  expect(seen.childAllows).toBeGreaterThan(COMPARISONS / 50)
  expect(seen.onlyParentAllows).toBeGreaterThan(COMPARISONS / 50)
})

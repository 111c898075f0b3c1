import type { EntityUid } from '../cedar/json.ts'
import { evaluatePartially } from '../cedar/partial.ts'
import type { Ask } from '../decision/ask.ts'
import { policiesOf } from '../decision/grant-legs.ts'
import { judgedOf, meterOf } from '../decision/legs.ts'
import { rewriteBy } from '../decision/rewrite.ts'
import type { What } from '../decision/what.ts'
import type { Who } from '../decision/who.ts'
import { type Grant, isCounted } from '../identity/grant.ts'
import { itemOf } from '../identity/grant-policy.ts'
import { isMetered, type RuleMeta } from '../policy/annotations.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { type MeterOf, metersOf } from '../policy/meters.ts'
import { sizeOf, type Where } from '../settle/conditions.ts'
import type { OwnMeter, ScopeLeg, ScopeProgram } from '../settle/scope.ts'
import { idsOf } from './entities.ts'
import { whereOf } from './where.ts'

export type Scoping = {
  program: ScopeProgram
  /** Policies of which something can't be said in terms of attributes: there the filter has less than it could. */
  inexact: string[]
  /** Fields to be kept back of every row, since a permit that may hold for one says so. */
  mask: string[]
}

/** What the filter hangs on; the resource that was asked about is any of its type. */
const RESOURCE = 'resource'

/**
 * The filter's parts for each principal of the chain. A permit with a limit has none, since a filter that holds for a
 * minute can't count; a forbid with a limit for each resource forbids, since nobody knows which are used up.
 */
export const scopeOf = (who: Who, what: What, ask: Ask, bundle: LoadedBundle, now = 0): Scoping => {
  const inexact = new Set<string>()
  const mask = new Set<string>()
  const of = meterOf(who, what, bundle)
  const legs = judgedOf(who, bundle).map(principal => legOf(principal, of, { what, ask, bundle, inexact, mask }))
  const grants = who.grants.map(grant => grantLegOf(grant, who.principals.actor, what, bundle, now))
  return { program: { v: 1, legs: [...legs, ...grants] }, inexact: [...inexact].sort(), mask: [...mask].sort() }
}

/** How long a filter may be used, in milliseconds. */
export const FILTER_MS = 60_000

/** A filter of no more than this: D1 binds at most 100 parameters. */
const MOST_LEAVES = 90
const MOST_VALUES = 10_000

export const isTooLarge = ({ legs }: ScopeProgram): boolean => {
  const sizes = legs.flatMap(({ permits, forbids }) => [
    ...permits.map(({ when }) => sizeOf(when)),
    ...forbids.map(({ unless }) => sizeOf(unless)),
  ])
  const sum = (of: 'leaves' | 'values') => sizes.reduce((total, size) => total + size[of], 0)
  return sum('leaves') > MOST_LEAVES || sum('values') > MOST_VALUES
}

/**
 * A permit with a limit or a budget can't be counted, one with duties is for one action at a time, and so is one that
 * asks for facts.
 */
const countsFor = (meta: RuleMeta): boolean =>
  !isMetered(meta) && !meta.log && meta.reportMs === undefined && (meta.requires ?? []).length === 0

/** The meters of a forbid that the question uses once. Where it can't, the forbid counts as if they were used up. */
const metersFor = (meta: RuleMeta, of: MeterOf): OwnMeter[] => {
  const countable = meta.budgets.length === 0 && !meta.log && meta.limits.every(({ per }) => per !== 'resource')
  const meters = countable ? (metersOf(meta, of) ?? []) : []
  return meters.filter((meter): meter is OwnMeter => meter.kind === 'limit' || meter.shared === undefined)
}

/** What every filter is written by. */
const placesIn = (bundle: LoadedBundle, entities: What['entities']) => ({
  name: RESOURCE,
  schema: bundle.schema,
  entities,
  idsOf: (type: string) => idsOf(type, bundle),
})

/**
 * A grant's part: like a permit with a limit, one that counts has none, and neither has one that ends before the filter
 * does. All that a grant says of resources can be said in terms of a filter.
 */
const grantLegOf = (
  grant: Grant,
  principal: EntityUid,
  { action, resource, context, entities }: What,
  bundle: LoadedBundle,
  now: number,
): ScopeLeg => {
  const { type } = resource
  const request = { principal, action, resource: { unknown: RESOURCE, type }, context }
  const { satisfied, residual } = evaluatePartially(policiesOf(grant, bundle.schema), request, entities).permit
  const places = { type, ...placesIn(bundle, entities), inexact: () => {} }
  const holds = (policy: string): boolean => {
    const item = itemOf(grant, policy)
    return item !== undefined && !isCounted(item) && (item.expires_at ?? Infinity) * 1000 >= now + FILTER_MS
  }
  const permits = [
    ...satisfied.map(policy => ({ policy, when: true as Where })),
    ...residual.map(({ policyId, expr }) => ({ policy: policyId, when: whereOf(expr, places).yes })),
  ].filter(({ policy, when }) => when !== false && holds(policy))
  return { permits: permits.map(({ when }) => ({ policy: grant.id, when })), forbids: [] }
}

type Scope = { what: What; ask: Ask; bundle: LoadedBundle; inexact: Set<string>; mask: Set<string> }

const legOf = (principal: EntityUid, of: MeterOf, { what, ask, bundle, inexact, mask }: Scope): ScopeLeg => {
  const { action, resource, context, entities } = what
  const { type } = resource
  const request = { principal, action, resource: { unknown: RESOURCE, type }, context }
  const { permit, forbid } = evaluatePartially(bundle.policies, request, entities)
  const metaOf = (policy: string) => {
    const meta = bundle.rules.get(policy)
    if (!meta) throw new Error(`policy ${policy} has no annotations`)
    return meta
  }
  const bothOf = ({ policyId, expr }: (typeof permit.residual)[number]) =>
    whereOf(expr, { type, ...placesIn(bundle, entities), inexact: () => inexact.add(policyId) })
  const permits = [
    ...permit.satisfied.map(policy => ({ policy, when: true as Where })),
    ...permit.residual.map(residual => ({ policy: residual.policyId, when: bothOf(residual).yes })),
  ]
  // What a permit would change of each row's request no filter can: where it may hold, nothing is permitted.
  const changing = [
    ...permit.satisfied.map(policy => ({ policy, unless: false as Where })),
    ...permit.residual.map(residual => ({ policy: residual.policyId, unless: bothOf(residual).no })),
  ].filter(({ policy }) => {
    const rewrite = rewriteBy([policy], ask, bundle)
    if (rewrite === undefined) return false
    if (rewrite === 'conflict' || !rewrite.declared || Object.keys(rewrite.set).length > 0) return true
    for (const field of rewrite.mask) mask.add(field)
    return false
  })
  const usable = permits.filter(({ policy, when }) => when !== false && countsFor(metaOf(policy)))
  const forbids = [
    ...forbid.satisfied.map(policy => ({ policy, unless: false as Where })),
    ...forbid.residual.map(residual => ({ policy: residual.policyId, unless: bothOf(residual).no })),
  ].map(({ policy, unless }) => {
    return { policy, unless, meters: metersFor(metaOf(policy), of) }
  })
  // An error counts as a match, as it does in decisions; a meter doesn't help there.
  const errs = forbid.errored.map(({ policyId }) => ({ policy: policyId, unless: false as Where, meters: [] }))
  const blocked = changing.map(({ policy, unless }) => ({ policy, unless, meters: [] }))
  return { permits: usable, forbids: [...forbids, ...blocked, ...errs].filter(({ unless }) => unless !== true) }
}

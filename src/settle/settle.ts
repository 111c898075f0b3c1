import { draw, type Level, levelAt, retryAfter } from './meters.ts'
import type { Draw, Leg, Liftable, LimitMeter, Program, Residual, Rule } from './program.ts'

/** What settling reads of the agent's state. It writes nothing: the settlement says what to write. */
export type State = {
  suspended: boolean
  meter(key: string): Level | undefined
  /** What is left in a purse; nothing where the object holds none by that name. */
  purse(purse: string, counter: Draw['counter']): number
  /** Finishes a residual with the session's values. */
  finish(residual: Residual): boolean | 'unknown'
  /** Whether a human's approval lifts this forbid for this very action. */
  approved(policy: string, forbid: Liftable): boolean
}

export type Settlement = {
  outcome: 'allow' | 'deny' | 'modify' | 'step_up' | 'defer'
  reason:
    | 'permitted'
    | 'suspended'
    | 'policy_error'
    | 'forbidden'
    | 'rate_limited'
    | 'not_permitted'
    | 'duty_missing'
    | 'facts_missing'
    | 'approval_required'
    | 'rewritten'
    | 'modify_offered'
    | 'outside_grant'
    | 'grant_exhausted'
  /**
   * Ids of the policies that decided, sorted: the forbids that fit the line; the permits that are exhausted; on defer the
   * policies that hang on an unknown; on allow the permit that each principal's leg uses. None where a permit or a duty's field is
   * absent, or the agent is suspended.
   */
  policies: string[]
  /** Names of the unknowns that a defer waits for, sorted. */
  missing: string[]
  /** Whole seconds until every exhausted meter that stood in the way has room; absent where one never will. */
  retryAfter?: number
  /** New levels of the meters that were taken: on allow and modify only, each key once. */
  charges: Charge[]
  /** What is taken from purses: on allow and modify only. */
  draws?: Draw[]
  /** The legs that refused: nothing permits there, or what permits is exhausted. */
  refused?: Leg['of'][]
  /** Ids of the forbids that approvals lifted: these are consumed, on allow and modify only. */
  lifted: string[]
}

export type Charge = { meter: LimitMeter; level: Level }

/** Decides by the design's table: the first line that fits gives outcome and reason. */
export const settle = (program: Program, state: State, now: number): Settlement => {
  // 1. killed or suspended
  if (state.suspended) return without('deny', 'suspended')

  const legs = program.legs.map(leg => readLeg(leg, state, now))
  const forbids = legs.flatMap(leg => leg.forbids)

  // 2. a true forbid that can't be lifted
  const errors = forbids.filter(forbid => forbid.error)
  if (errors.length > 0) return without('deny', 'policy_error', errors)
  const final = forbids.filter(forbid => forbid.truth === true && forbid.applies && !forbid.liftable)
  const plain = final.filter(forbid => forbid.meters.length === 0)
  if (plain.length > 0) return without('deny', 'forbidden', plain)
  if (final.length > 0) return { ...without('deny', 'rate_limited', final), ...waitForAll(final.map(waitOf)) }

  // 3. a leg with no true or unknown permit; a program without legs has nobody's authority
  const bare = legs.filter(leg => leg.permits.length === 0)
  if (legs.length === 0 || bare.length > 0)
    return {
      ...without('deny', onlyGrants(bare) ? 'outside_grant' : 'not_permitted'),
      refused: bare.map(leg => leg.of),
    }

  // 4. duty fields missing
  if (program.absentDuties.length > 0) return without('deny', 'duty_missing')

  // 5. an unknown forbid, or a leg whose usable permits are all unknown
  const hanging = [
    ...forbids.filter(forbid => forbid.truth === 'unknown' && forbid.applies),
    ...legs.map(usable).flatMap(permits => (permits.every(permit => permit.truth === 'unknown') ? permits : [])),
  ]
  if (hanging.length > 0) {
    return { ...without('defer', 'facts_missing', hanging), missing: sorted(hanging.flatMap(rule => rule.unknowns)) }
  }

  // 6. a leg whose permits are all exhausted. An unknown one that is exhausted would be no use if it came true
  const spent = legs.filter(leg => usable(leg).length === 0)
  if (spent.length > 0) {
    const permits = spent.filter(isPrincipal).flatMap(leg => leg.permits)
    const waits = spent.map(leg => waitForAny(leg.permits.map(waitOf)))
    const reason = onlyGrants(spent) ? 'grant_exhausted' : 'rate_limited'
    return { ...without('deny', reason, permits), ...waitForAll(waits), refused: spent.map(leg => leg.of) }
  }

  // 7. true liftable forbids without approval
  const lifting = forbids.filter(forbid => forbid.truth === true && forbid.applies)
  const unapproved = lifting.filter(forbid => !(forbid.liftable && state.approved(forbid.policy, forbid.liftable)))
  if (unapproved.length > 0) return without('step_up', 'approval_required', unapproved)

  // 8. rewritten arguments, or a masked result: no use to a caller that doesn't apply them
  if (program.rewrite?.declared === false) return without('deny', 'modify_offered')
  // 9. allow
  const used = legs.map(leg =>
    usable(leg)
      .filter(permit => permit.truth === true)
      .reduce(preferred),
  )
  const named = used.filter((_, index) => program.legs[index]?.of.kind === 'principal')
  return {
    ...(program.rewrite ? without('modify', 'rewritten', named) : without('allow', 'permitted', named)),
    charges: charge([...used, ...forbids], state, now),
    lifted: sorted(lifting.map(forbid => forbid.policy)),
    draws: used.flatMap(rule => rule.draws),
  }
}

/** A rule as the state has it; rules that came out false are gone. */
type Read = {
  policy: string
  truth: true | 'unknown'
  unknowns: string[]
  error: boolean
  liftable: Liftable | undefined
  meters: LimitMeter[]
  draws: Draw[]
  exhausted: boolean
  /** Of a forbid: whether it forbids where its conditions hold. A metered one does only beyond its meter. */
  applies: boolean
  /** Of an exhausted rule: seconds until there is room. */
  wait: number | undefined
}

type ReadLeg = { of: Leg['of']; permits: Read[]; forbids: Read[] }

const isPrincipal = ({ of }: ReadLeg): boolean => of.kind === 'principal'

const onlyGrants = (legs: ReadLeg[]): boolean => legs.length > 0 && !legs.some(isPrincipal)

const readLeg = (leg: Leg, state: State, now: number): ReadLeg => ({
  of: leg.of,
  // a permit that errors doesn't match
  permits: leg.permits.flatMap(rule => (rule.error ? [] : readRule(rule, state, now))),
  forbids: leg.forbids
    .flatMap(rule => readRule(rule, state, now))
    .map(forbid => (leg.of.kind === 'grant' ? { ...forbid, liftable: undefined } : forbid)),
})

const readRule = (rule: Rule, state: State, now: number): Read[] => {
  const truth = rule.error || rule.when === true ? true : state.finish(rule.when)
  if (truth === false) return []
  const short = rule.meters.flatMap(meter => {
    const level = levelAt(meter, state.meter(meter.key), now)
    return level.tokens < meter.cost ? [retryAfter(meter, level, meter.cost)] : []
  })
  const draws = rule.draws ?? []
  const poor = draws.some(({ purse, counter, cost }) => state.purse(purse, counter) < cost)
  return [
    {
      policy: rule.policy,
      truth,
      unknowns: rule.when === true ? [] : rule.when.unknowns,
      error: rule.error === true,
      liftable: rule.liftable,
      meters: rule.meters,
      draws,
      exhausted: short.length > 0 || poor,
      applies: rule.meters.length === 0 || short.length > 0,
      wait: poor ? undefined : waitForAll(short).retryAfter,
    },
  ]
}

const usable = (leg: ReadLeg): Read[] => leg.permits.filter(permit => !permit.exhausted)

/** What counts nothing first, then by policy id. */
const preferred = (a: Read, b: Read): Read => {
  const metered = (rule: Read) => Number(rule.meters.length + rule.draws.length > 0)
  if (metered(a) !== metered(b)) return metered(a) < metered(b) ? a : b
  return b.policy < a.policy ? b : a
}

/** Metered forbids that match are charged with the permits, those that only may match too: a limit never undercounts. */
const charge = (rules: Read[], state: State, now: number): Charge[] => {
  const meters = new Map<string, LimitMeter>()
  for (const meter of rules.flatMap(rule => rule.meters)) {
    const other = meters.get(meter.key)
    if (!other || other.cost < meter.cost) meters.set(meter.key, meter)
  }
  return [...meters.values()].map(meter => ({
    meter,
    level: draw(levelAt(meter, state.meter(meter.key), now), meter.cost),
  }))
}

/** `undefined` in a list of waits: that meter never has room. */
const waitOf = (rule: Read): number | undefined => rule.wait

const waitForAll = (waits: (number | undefined)[]): { retryAfter?: number } => {
  const known = waits.filter(wait => wait !== undefined)
  return known.length === waits.length && known.length > 0 ? { retryAfter: Math.max(...known) } : {}
}

const waitForAny = (waits: (number | undefined)[]): number | undefined => {
  const known = waits.filter(wait => wait !== undefined)
  return known.length > 0 ? Math.min(...known) : undefined
}

const without = (outcome: Settlement['outcome'], reason: Settlement['reason'], rules: Read[] = []): Settlement => ({
  outcome,
  reason,
  policies: sorted(rules.map(rule => rule.policy)),
  missing: [],
  charges: [],
  lifted: [],
})

const sorted = (names: string[]): string[] => [...new Set(names)].sort()

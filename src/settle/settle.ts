import type { Outcome } from './outcome.ts'
import type { Draw, Leg, Liftable, Meter, Program } from './program.ts'
import { type Quota, quotaOf } from './quota.ts'
import { type Charge, take, waitForAll, waitForAny } from './room.ts'
import {
  heeded,
  isPrincipal,
  type Read,
  type ReadLeg,
  type RulesState,
  readLeg,
  unheeded,
  usable,
  wantsFields,
} from './rules.ts'

/** What settling reads of the agent's state. It writes nothing: the settlement says what to write. */
export type State = RulesState & {
  suspended: boolean
  /** The same intent was carried out before, and nobody knows with what result. */
  unsettled: boolean
  /** Whether a human's approval lifts this forbid for this very action. */
  approved(policy: string, forbid: Liftable): boolean
}

export type Settlement = {
  outcome: Outcome
  reason:
    | 'permitted'
    | 'suspended'
    | 'policy_error'
    | 'forbidden'
    | 'rate_limited'
    | 'budget_exhausted'
    | 'not_permitted'
    | 'duty_missing'
    | 'obligation_unsupported'
    | 'outcome_unknown'
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
  /** Names of the unknowns that a defer waits for, or of the fields that duties ask for; sorted. */
  missing: string[]
  /** Whole seconds until every exhausted meter that stood in the way has room; absent where one never will. */
  retryAfter?: number
  /** What the meters are that were taken: on allow and modify only, each key once. */
  charges: Charge[]
  /** What is taken from purses: on allow and modify only. */
  draws?: Draw[]
  /** The legs that refused: nothing permits there, or what permits is exhausted. */
  refused?: Leg['of'][]
  /** Of the meters that bore on it, the one with the least room: what is left of it then. */
  quota?: Quota
  /** What the caller has to do beside: on allow and modify only. */
  duties: { log: string[]; reportMs?: number }
  /** Ids of the forbids that approvals lifted: these are consumed, on allow and modify only. */
  lifted: string[]
}

/** Decides by the design's table: the first line that fits gives outcome and reason. */
export const settle = (program: Program, state: State, now: number): Settlement => {
  // 1. killed or suspended
  if (state.suspended) return without('deny', 'suspended')

  const legs = program.legs.map(leg => readLeg(leg, state, now))
  const forbids = legs.flatMap(leg => leg.forbids)

  // 2. a true forbid that can't be lifted
  const errors = forbids.filter(forbid => forbid.error)
  if (errors.length > 0) return without('deny', 'policy_error', errors)
  const applying = forbids.filter(forbid => forbid.truth === true && forbid.applies)
  const final = applying.filter(forbid => !forbid.liftable && !wantsFields(forbid))
  const plain = final.filter(forbid => forbid.short.length === 0)
  if (plain.length > 0) return without('deny', 'forbidden', plain)
  if (final.length > 0)
    return {
      ...without('deny', exhaustion(final), final),
      ...waitForAll(final.map(({ wait }) => wait)),
      ...quotaOf(final),
    }

  // 3. a leg with no true or unknown permit; a program without legs has nobody's authority
  const bare = legs.filter(leg => leg.permits.length === 0)
  if (legs.length === 0 || bare.length > 0)
    return {
      ...without('deny', onlyGrants(bare) ? 'outside_grant' : 'not_permitted'),
      refused: bare.map(leg => leg.of),
    }

  // what may have happened already isn't begun again before somebody says what became of it
  if (state.unsettled) return without('deny', 'outcome_unknown')

  // 4. duty fields missing: no approval stands in for them
  const undutiful = [...applying.filter(wantsFields), ...legs.filter(unheeded).flatMap(leg => leg.permits)]
  if (undutiful.length > 0) {
    const missing = sorted(undutiful.flatMap(rule => rule.duties.absent ?? []))
    const reason = missing.length > 0 ? 'duty_missing' : 'obligation_unsupported'
    return { ...without('deny', reason, undutiful), missing: missing.map(name => `context.${name}`) }
  }

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
    const permits = spent.filter(isPrincipal).flatMap(leg => leg.permits.filter(heeded))
    const waits = spent.map(leg => waitForAny(leg.permits.filter(heeded).map(({ wait }) => wait)))
    const reason = onlyGrants(spent) ? 'grant_exhausted' : exhaustion(permits)
    const refused = spent.map(leg => leg.of)
    return { ...without('deny', reason, permits), ...waitForAll(waits), ...quotaOf(permits), refused }
  }

  // 7. true liftable forbids without approval
  const unapproved = applying.filter(forbid => !(forbid.liftable && state.approved(forbid.policy, forbid.liftable)))
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
    draws: used.flatMap(rule => rule.draws),
    ...quotaOf([...used, ...forbids], 'taken'),
    duties: dutiesOf([...used, ...forbids.filter(forbid => forbid.truth === true)]),
    lifted: sorted(applying.map(forbid => forbid.policy)),
  }
}

const onlyGrants = (legs: ReadLeg[]): boolean => legs.length > 0 && !legs.some(isPrincipal)

const dutiesOf = (rules: Read[]): Settlement['duties'] => {
  const times = rules.flatMap(({ duties }) => duties.reportMs ?? [])
  return {
    log: sorted(rules.flatMap(({ duties }) => duties.log ?? [])),
    ...(times.length > 0 && { reportMs: Math.min(...times) }),
  }
}

/** What counts nothing first, then by policy id. */
const preferred = (a: Read, b: Read): Read => {
  const metered = (rule: Read) => Number(rule.meters.length + rule.draws.length > 0)
  if (metered(a) !== metered(b)) return metered(a) < metered(b) ? a : b
  return b.policy < a.policy ? b : a
}

/** Metered forbids that match are charged with the permits, those that only may match too: a limit never undercounts. */
const charge = (rules: Read[], state: State, now: number): Charge[] => {
  const meters = new Map<string, Meter>()
  for (const meter of rules.flatMap(rule => rule.meters)) {
    const other = meters.get(meter.key)
    if (!other || other.cost < meter.cost) meters.set(meter.key, meter)
  }
  return [...meters.values()].map(meter => take(meter, state, now))
}

/** What ran out: time alone refills a rate, and who waits for a budget may wait for long. */
const exhaustion = (rules: Read[]): 'rate_limited' | 'budget_exhausted' =>
  rules.some(rule => rule.short.some(meter => meter.kind === 'window' && meter.budget))
    ? 'budget_exhausted'
    : 'rate_limited'

const without = (outcome: Settlement['outcome'], reason: Settlement['reason'], rules: Read[] = []): Settlement => ({
  outcome,
  reason,
  policies: sorted(rules.map(rule => rule.policy)),
  missing: [],
  charges: [],
  duties: { log: [] },
  lifted: [],
})

const sorted = (names: string[]): string[] => [...new Set(names)].sort()

import {
  type Draw,
  type Duties,
  type Leg,
  type Liftable,
  type Meter,
  type Residual,
  type Rule,
  SESSION,
} from './program.ts'
import { type MeterState, roomIn, waitForAll } from './room.ts'

/** What reading a program's rules takes of the agent's state. */
export type RulesState = MeterState & {
  /** What is left in a purse; nothing where the object holds none by that name. */
  purse(purse: string, counter: Draw['counter']): number
  /** Finishes a residual with the session's values. */
  finish(residual: Residual): boolean | 'unknown' | 'error'
}

/** A rule as the state has it; rules that came out false are gone. */
export type Read = {
  policy: string
  truth: true | 'unknown'
  unknowns: string[]
  error: boolean
  liftable: Liftable | undefined
  duties: Duties
  meters: Meter[]
  draws: Draw[]
  rooms: { meter: Meter; left: number }[]
  /** Of its meters, those that lack room. */
  short: Meter[]
  exhausted: boolean
  /**
   * Of a forbid: whether it forbids where its conditions hold. A metered one does only beyond its meter, one that asks
   * for fields only without them.
   */
  applies: boolean
  /** Of an exhausted rule: seconds until there is room. */
  wait: number | undefined
}

export type ReadLeg = { of: Leg['of']; permits: Read[]; forbids: Read[] }

export const isPrincipal = ({ of }: ReadLeg): boolean => of.kind === 'principal'

export const readLeg = (leg: Leg, state: RulesState, now: number): ReadLeg => ({
  of: leg.of,
  // a permit that errors doesn't match
  permits: leg.permits.flatMap(rule => readRule(rule, state, now)).filter(permit => !permit.error),
  forbids: leg.forbids
    .flatMap(rule => readRule(rule, state, now))
    .map(forbid => (leg.of.kind === 'grant' ? { ...forbid, liftable: undefined } : forbid)),
})

const readRule = (rule: Rule, state: RulesState, now: number): Read[] => {
  const finished = rule.error || rule.when === true ? true : state.finish(rule.when)
  if (finished === false) return []
  const error = rule.error === true || finished === 'error'
  const rooms = rule.meters.map(meter => ({ meter, room: roomIn(meter, state, now) }))
  const short = rooms.filter(({ room }) => !room.enough)
  const draws = rule.draws ?? []
  const poor = draws.some(({ purse, counter, cost }) => state.purse(purse, counter) < cost)
  return [
    {
      policy: rule.policy,
      truth: finished === 'error' ? true : finished,
      // what went before is known to whoever settles: it is never what is waited for
      unknowns: rule.when === true ? [] : rule.when.unknowns.filter(name => name !== SESSION),
      error,
      liftable: rule.liftable,
      duties: rule.duties ?? {},
      meters: rule.meters,
      draws,
      rooms: rooms.map(({ meter, room }) => ({ meter, left: room.left })),
      short: short.map(({ meter }) => meter),
      exhausted: short.length > 0 || poor,
      applies:
        (rule.meters.length === 0 && rule.duties?.log === undefined) ||
        short.length > 0 ||
        (rule.duties?.absent ?? []).length > 0,
      wait: poor ? undefined : waitForAll(short.map(({ room }) => room.wait)).retryAfter,
    },
  ]
}

export const usable = (leg: ReadLeg): Read[] => leg.permits.filter(permit => !permit.exhausted && heeded(permit))

/** Whether its duties can be done. */
export const heeded = ({ duties }: Read): boolean => !duties.unsupported && (duties.absent ?? []).length === 0

export const unheeded = (leg: ReadLeg): boolean => !leg.permits.some(heeded)

/** Forbids for want of fields, and of nothing else. */
export const wantsFields = ({ duties, short }: Read): boolean => (duties.absent ?? []).length > 0 && short.length === 0

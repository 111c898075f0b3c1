import type { Filter } from '../sdk/scope/filter.ts'
import { all, any, type Where } from './conditions.ts'
import { draw, levelAt } from './meters.ts'
import type { LimitMeter } from './program.ts'
import type { Charge, State } from './settle.ts'

/** What the Worker leaves of a question which resources an agent may act on. Like a program it only ever gains fields. */
export type ScopeProgram = { v: 1; legs: ScopeLeg[] }

export type ScopeLeg = {
  /** Of each permit without meters: where it holds. */
  permits: { policy: string; when: Where }[]
  /** Of each forbid: where it certainly doesn't hold. A metered one forbids nothing while it has room. */
  forbids: { policy: string; unless: Where; meters: LimitMeter[] }[]
}

/**
 * The resources of which each would be allowed if it were asked about now: every leg permits, no forbid forbids, and what
 * a human could lift is not lifted. Meters of forbids that might hold are charged once, as for any action.
 */
export const settleScope = (
  { legs }: ScopeProgram,
  state: State,
  now: number,
): { result: Filter; charges: Charge[] } => {
  const levels = new Map<string, Charge>()
  const roomIn = (meter: LimitMeter): boolean => {
    const level = levels.get(meter.key)?.level ?? levelAt(meter, state.meter(meter.key), now)
    if (level.tokens < meter.cost) return false
    levels.set(meter.key, { meter, level })
    return true
  }
  const where = all([
    legs.length > 0,
    ...legs.map(({ permits }) => any(permits.map(({ when }) => when))),
    ...legs.flatMap(({ forbids }) =>
      forbids.map(({ unless, meters }) => (meters.length > 0 && meters.every(roomIn) ? true : unless)),
    ),
  ])
  if (where === false) return { result: { scope: 'never' }, charges: [] }
  const charges = [...levels.values()].map(({ meter, level }) => ({ meter, level: draw(level, meter.cost) }))
  return { result: where === true ? { scope: 'always' } : { scope: 'when', condition: where }, charges }
}

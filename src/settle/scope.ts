import type { Filter } from '../sdk/scope/filter.ts'
import { all, any, type Where } from './conditions.ts'
import type { LimitMeter, WindowMeter } from './program.ts'
import { type Charge, roomIn, take } from './room.ts'
import type { State } from './settle.ts'

/** What the Worker leaves of a question which resources an agent may act on. Like a program it only ever gains fields. */
export type ScopeProgram = { v: 1; legs: ScopeLeg[] }

export type ScopeLeg = {
  /** Of each permit without meters: where it holds. */
  permits: { policy: string; when: Where }[]
  /** Of each forbid: where it certainly doesn't hold. A metered one forbids nothing while it has room. */
  forbids: { policy: string; unless: Where; meters: OwnMeter[] }[]
}

/** One that the agent has for itself. */
export type OwnMeter = LimitMeter | (WindowMeter & { shared?: never })

type OwnCharge = Exclude<Charge, { kind: 'lease' }>

/**
 * The resources of which each would be allowed if it were asked about now: every leg permits, no forbid forbids, and what
 * a human could lift is not lifted. Meters of forbids that might hold are charged once, as for any action.
 */
export const settleScope = (
  { legs }: ScopeProgram,
  state: State,
  now: number,
): { result: Filter; charges: OwnCharge[] } => {
  const used = new Map<string, OwnMeter>()
  const hasRoom = (meter: OwnMeter): boolean => {
    if (!roomIn(meter, state, now).enough) return false
    used.set(meter.key, meter)
    return true
  }
  const where = all([
    legs.length > 0,
    ...legs.map(({ permits }) => any(permits.map(({ when }) => when))),
    ...legs.flatMap(({ forbids }) =>
      forbids.map(({ unless, meters }) => (meters.length > 0 && meters.every(hasRoom) ? true : unless)),
    ),
  ])
  if (where === false) return { result: { scope: 'never' }, charges: [] }
  const charges = [...used.values()].flatMap(meter => {
    const charge = take(meter, state, now)
    return charge.kind === 'lease' ? [] : [charge]
  })
  return { result: where === true ? { scope: 'always' } : { scope: 'when', condition: where }, charges }
}

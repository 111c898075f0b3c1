import type { Read } from './rules.ts'
import type { Window } from './windows.ts'

/** How much there is of a meter in all, and what is left of it. */
export type Quota = { policy: string; capacity: number; left: number; windowMs?: number }

/** The meter with the least room for its size. What an agent holds of a shared budget says little of the budget. */
export const quotaOf = (rules: Read[], taken?: 'taken'): { quota?: Quota } => {
  const quotas = rules.flatMap(({ policy, rooms }) =>
    rooms.flatMap(({ meter, left }): Quota[] => {
      if (meter.kind === 'window' && meter.shared !== undefined) return []
      const { capacity } = meter
      const windowMs = meter.kind === 'limit' ? meter.windowMs : lengthOf(meter.window)
      const rest = Math.max(0, taken ? left - meter.cost : left)
      return [{ policy, capacity, left: rest, ...(windowMs !== undefined && { windowMs }) }]
    }),
  )
  const [first, ...others] = quotas
  if (!first) return {}
  return {
    quota: others.reduce(
      (least, each) => (each.left / each.capacity < least.left / least.capacity ? each : least),
      first,
    ),
  }
}

/** Calendar windows differ in length. */
const lengthOf = (window: Window): number | undefined => (window.kind === 'sliding' ? window.ms : undefined)

import { draw, type Level, levelAt, retryAfter } from './meters.ts'
import type { LimitMeter, Meter, WindowMeter } from './program.ts'
import { type Spent, secondsUntil, spend, spentAt, startOf, total } from './windows.ts'

/** What settling reads of the meters: what was drawn and spent before. */
export type MeterState = {
  meter(key: string): Level | undefined
  spent(key: string): Spent | undefined
  /** What the agent holds of a budget that it shares; `wait`: whole seconds until more can be had. */
  held(key: string): { left: number; wait?: number }
}

/** What there is of a meter. */
export type Room = {
  /** Whether the meter's cost fits. */
  enough: boolean
  /** How much is left; never below zero. */
  left: number
  /** Whole seconds until the cost fits; absent where it never will. */
  wait?: number
}

/** A meter's state after it was taken. */
export type Charge =
  | { kind: 'limit'; meter: LimitMeter; level: Level }
  /** `start` names the entry that the cost went to. */
  | { kind: 'window'; meter: WindowMeter; spent: Spent; start: number }
  /** Spent from what the agent holds. */
  | { kind: 'lease'; meter: WindowMeter }

export const roomIn = (meter: Meter, state: MeterState, now: number): Room => {
  switch (meter.kind) {
    case 'limit': {
      const level = levelAt(meter, state.meter(meter.key), now)
      return room(level.tokens >= meter.cost, level.tokens, () => retryAfter(meter, level, meter.cost))
    }
    case 'window': {
      const { window, capacity, cost } = meter
      if (meter.shared !== undefined) {
        const { left, wait } = state.held(meter.key)
        return room(left >= cost, left, () => wait)
      }
      const spent = spentAt(window, state.spent(meter.key), now)
      const left = capacity - total(spent)
      return room(left >= cost, left, () => secondsUntil(window, spent, capacity, cost))
    }
  }
}

export const take = (meter: Meter, state: MeterState, now: number): Charge => {
  switch (meter.kind) {
    case 'limit':
      return { kind: 'limit', meter, level: draw(levelAt(meter, state.meter(meter.key), now), meter.cost) }
    case 'window': {
      if (meter.shared !== undefined) return { kind: 'lease', meter }
      const before = spentAt(meter.window, state.spent(meter.key), now)
      const start = startOf(meter.window, before.at)
      return { kind: 'window', meter, spent: spend(before, start, meter.cost), start }
    }
  }
}

/** Of several that all must have room. `undefined` among the waits: that one never has. */
export const waitForAll = (waits: (number | undefined)[]): { retryAfter?: number } => {
  const known = waits.filter(wait => wait !== undefined)
  return known.length === waits.length && known.length > 0 ? { retryAfter: Math.max(...known) } : {}
}

export const waitForAny = (waits: (number | undefined)[]): number | undefined => {
  const known = waits.filter(wait => wait !== undefined)
  return known.length > 0 ? Math.min(...known) : undefined
}

const room = (enough: boolean, left: number, wait: () => number | undefined): Room => {
  const seconds = enough ? 0 : wait()
  return { enough, left: Math.max(0, left), ...(seconds !== undefined && { wait: seconds }) }
}

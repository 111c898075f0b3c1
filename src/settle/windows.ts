import { type CalendarUnit, periodOf } from './calendar.ts'

/**
 * Sums over a window of time. Amounts are kept by where they began to count, not one by one: a sliding window is cut
 * into slots, and an amount leaves it with the end of its slot, up to a sixtieth of the window late and never early.
 */
export type Window = { kind: 'sliding'; ms: number } | { kind: 'calendar'; unit: CalendarUnit; zone: string }

/** What counts in a window at a time: amounts by the start of their slot or period, ascending. */
export type Spent = { at: number; entries: readonly Entry[] }
export type Entry = readonly [start: number, amount: number]

const SLOTS = 60

/** What still counts at `now`. Time doesn't go back. */
export const spentAt = (window: Window, was: Spent | undefined, now: number): Spent => {
  const at = Math.max(was?.at ?? now, now)
  return { at, entries: (was?.entries ?? []).filter(([start]) => leavesAt(window, start) > at) }
}

export const total = ({ entries }: Spent): number => entries.reduce((sum, [, amount]) => add(sum, amount), 0)

/** Where an amount that is spent at `at` begins to count; it names the entry that the amount is part of. */
export const startOf = (window: Window, at: number): number => {
  if (window.kind === 'calendar') return periodOf(window.unit, window.zone, at).start
  const slot = slotMs(window.ms)
  return Math.floor(at / slot) * slot
}

/** Adds to the entry at `start`. */
export const spend = ({ at, entries }: Spent, start: number, amount: number): Spent => {
  const had = entries.find(entry => entry[0] === start)?.[1] ?? 0
  const others = entries.filter(entry => entry[0] !== start)
  return { at, entries: [...others, [start, add(had, amount)] as const].sort(([a], [b]) => a - b) }
}

/** Takes back what was added to the entry at `start`, where that still counts. */
export const unspend = ({ at, entries }: Spent, start: number, amount: number): Spent => ({
  at,
  entries: entries
    .map(([from, had]): Entry => (from === start ? [from, Math.max(0, had - amount)] : [from, had]))
    .filter(([, had]) => had > 0),
})

/** Whole seconds until `cost` has room; `undefined` where it never has. */
export const secondsUntil = (window: Window, spent: Spent, capacity: number, cost: number): number | undefined => {
  if (cost > capacity) return undefined
  let sum = total(spent)
  let at = spent.at
  for (const [start, amount] of spent.entries) {
    if (sum <= capacity - cost) break
    sum -= amount
    at = leavesAt(window, start)
  }
  return Math.ceil((at - spent.at) / 1000)
}

/** When nothing counts any more: then it is as good as absent. */
export const emptyAt = (window: Window, { at, entries }: Spent): number =>
  Math.max(at, ...entries.map(([start]) => leavesAt(window, start)))

const leavesAt = (window: Window, start: number): number =>
  window.kind === 'calendar' ? periodOf(window.unit, window.zone, start).end : start + slotMs(window.ms) + window.ms

const slotMs = (windowMs: number): number => Math.ceil(windowMs / SLOTS)

/** Sums stay whole numbers: beyond what a double counts exactly, more is the same. */
const add = (a: number, b: number): number => Math.min(Number.MAX_SAFE_INTEGER, a + b)

import { type CalendarUnit, calendarUnits, isZone } from '../settle/calendar.ts'
import type { Window } from '../settle/windows.ts'
import { parseDuration } from './rate.ts'

/** How much, of what, in which time, and for whom together. */
export type Budget = {
  /** The argument whose values are added up, by the names that lead to it; without one, actions are counted. */
  argument?: readonly string[]
  capacity: number
  window: Window
  per: BudgetScope
}

/** A group's type stands for each group of that type that the agent is in. */
export type BudgetScope = (typeof words)[number] | { group: string }

/** The first three are an agent's own. */
const words = ['agent', 'resource', 'action', 'user', 'tenant'] as const

export const BUDGET_EXAMPLE =
  '@budget("arguments.amount <= 10000 per 1d") or @budget("count <= 50 per month in Europe/Berlin per user")'

/** Reads one budget, or says why it is none. */
export const parseBudget = (text: string): Budget | string => {
  const match = FORM.exec(text.trim())
  if (!match) return 'is not a budget'
  const [, what = '', number = '', time = '', zone, word, group] = match
  const capacity = Number(number)
  if (!Number.isSafeInteger(capacity)) return 'is beyond 2^53-1'
  const window = windowOf(time, zone)
  if (typeof window === 'string') return window
  const per = group === undefined ? words.find(each => each === (word ?? 'agent')) : { group }
  if (per === undefined) return `: a budget is per ${words.join(', ')}, or per group TYPE`
  const argument = what === 'count' ? undefined : what.split('.').slice(1)
  return { capacity, window, per, ...(argument && { argument }) }
}

const FORM =
  /^(count|arguments(?:\.[A-Za-z_]\w*)+)\s*<=\s*([1-9]\d{0,15})\s+per\s+(\S+)(?:\s+in\s+(\S+))?(?:\s+per\s+(?:(\w+)|group\s+([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)))?$/

const windowOf = (time: string, zone: string | undefined): Window | string => {
  const unit = calendarUnits.find((each): each is CalendarUnit => each === time)
  if (unit !== undefined) {
    if (zone !== undefined && !isZone(zone)) return `: there is no time zone ${zone}`
    return { kind: 'calendar', unit, zone: zone ?? 'UTC' }
  }
  const ms = parseDuration(time)
  if (ms === undefined) return `: ${time} is neither a time such as 12h nor one of ${calendarUnits.join(', ')}`
  return zone === undefined ? { kind: 'sliding', ms } : `: only ${calendarUnits.join(', ')} have a time zone`
}

/** The same window has the same name, whatever its capacity is. */
export const windowName = (window: Window): string =>
  window.kind === 'sliding' ? `${window.ms}` : `${window.unit} ${window.zone}`

import type { Leg, LimitMeter, Program, Residual, Rule } from '../../src/settle/program.ts'
import type { State } from '../../src/settle/settle.ts'

/** Short ways to write programs and states in tests. */

export const agent = { kind: 'principal', uid: { type: 'Agent', id: 'a' } } as const
export const user = { kind: 'principal', uid: { type: 'User', id: 'u' } } as const
export const grant = { kind: 'grant', id: 'g' } as const

export const program = (...legs: Leg[]): Program => ({ v: 1, legs })

export const leg = (rules: { permits?: Rule[]; forbids?: Rule[] }, of: Leg['of'] = agent): Leg => ({
  of,
  permits: rules.permits ?? [],
  forbids: rules.forbids ?? [],
})

export const rule = (policy: string, more: Partial<Rule> = {}): Rule => ({ policy, when: true, meters: [], ...more })

/** A condition that hangs on one unknown; `finish` of `state` looks it up by that name. */
export const hangsOn = (name: string): Residual => ({ unknowns: [name], residual: { unknown: name } })

export const limit = (key: string, capacity: number, windowMs = 60_000, cost = 1): LimitMeter => ({
  kind: 'limit',
  key,
  capacity,
  windowMs,
  cost,
})

export const liftable = { group: 'finance', textHash: 'text' }

export const state = (more: Partial<State> = {}): State => ({
  suspended: false,
  unsettled: false,
  meter: () => undefined,
  purse: () => 0,
  spent: () => undefined,
  held: () => ({ left: 0 }),
  finish: () => 'unknown',
  approved: () => false,
  ...more,
})

/** A bucket with nothing left at `at`. */
export const empty = (at: number, windowMs = 60_000) => ({ tokens: 0, part: 0, windowMs, at })

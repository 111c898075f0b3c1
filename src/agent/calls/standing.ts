import type { Head } from '../../audit/receipt.ts'

/** Stops or restarts an agent. Repeating one changes nothing. */
export type StandingCall = {
  v: 1
  tenant: string
  agent: string
  /** Who asks for it, as `Caller.name` has it. */
  by: string
  reason: string
  /** Milliseconds. */
  at: number
}

export type Standing = {
  suspended: boolean
  /** When the agent was last suspended or resumed; absent where it never was. */
  since?: number
  by?: string
  /** The object's time at which this holds: decisions from then on see it. */
  confirmedAt: number
  /** Whether this call changed it, and the receipt that says so. */
  changed: boolean
  receipt?: { seq: number; hash: string }
}

/** A permit that is out. */
export type OutPermit = { evaluationId: string; expiresAt: number }

/** An object's own account of itself; what it never had is absent. */
export type Status = {
  suspended: boolean
  since?: number
  by?: string
  bundle?: { seq: number; hash: string }
  head?: Head
  /** Receipts that D1 hasn't confirmed, and when the oldest of them was made. */
  unflushed: { count: number; since?: number }
  /** Permits that haven't lapsed yet, the newest first. */
  permits: OutPermit[]
  /** How many outcomes should have been reported by now. */
  overdue: number
  /** Where the record contradicted the chain. */
  fork?: number
}

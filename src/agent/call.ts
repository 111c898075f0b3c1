import type { Body, Head, ReceiptKind, Secrets, StoredReceipt } from '../audit/receipt.ts'
import type { Problem } from '../cedar/convert.ts'
import type { Outcome } from '../decision/answer.ts'
import type { Reason } from '../decision/reasons.ts'
import type { Program } from '../settle/program.ts'

/**
 * What crosses between the Worker and an agent's object. Both sides may run different versions while a deployment
 * rolls out: `v` says how to read it, fields are only added.
 */
export type DecideCall = {
  v: 1
  /** For the collectors: which tenant's record this is, and the collector's name. */
  tenant: string
  agent: string
  bundle: { seq: number; hash: string }
  /** Milliseconds; read once by the Worker. */
  now: number
  /** Capacity and window of the bucket that decisions without an allow draw from. */
  attempts: { capacity: number; windowMs: number }
  items: DecideItem[]
  /** When to stop: items after that take nothing and leave nothing. */
  stop: 'never' | 'first_deny' | 'first_permit'
  /** The proof that came with a token that is bound to a key. */
  proof?: ProofClaim
}

/** A DPoP proof that is to pass once. */
export type ProofClaim = {
  /** Hash of the key's thumbprint and the proof's `jti`. */
  id: string
  /** Names the HTTP call that brought it. */
  call: string
  /** Milliseconds; until then it would pass for its age. */
  until: number
}

export type DecideItem = {
  /** UUIDv7, made by the Worker before the call. */
  evaluationId: string
  program: Program
  /** A denial that was settled before policy (unknown action, arguments that don't fit): recorded, not evaluated. */
  denied?: { reason: Reason; problems?: Problem[] }
  /** The request's part of the receipt's body; secrets stand in it as commitments. */
  body: Body
  secrets: Secrets
  /** What names the caller, its Idempotency-Key and this item together, and the hash of the whole request. */
  idempotency?: { key: string; requestHash: string }
  /** Milliseconds that a permit lives. */
  permitMs: number
}

export type Decided = {
  kind: 'decided'
  evaluationId: string
  outcome: Outcome
  reason: Reason
  at: number
  /** When the permit lapses; on allow and modify. */
  expiresAt?: number
  policies: string[]
  /** Names of unknowns, on defer. */
  missing: string[]
  /** Whole seconds until there is room again. */
  retryAfter?: number
  /** Where the request doesn't fit the schema. */
  problems?: Problem[]
  bundle: string
  receipt: { seq: number; hash: string }
  /** True when this is the answer to an earlier call with the same idempotency key. */
  replayed?: true
}

export type Refused =
  /** Not a decision: no receipt, nothing taken. */
  | { kind: 'too_many_attempts'; retryAfter: number }
  | { kind: 'idempotency_mismatch' }
  /** The proof was used by another call. */
  | { kind: 'replayed_proof' }
  /** The object has seen a newer activation: read that bundle and evaluate again. */
  | { kind: 'stale_bundle'; seq: number; hash: string }
  /** The chain was contradicted by the record: it decides nothing more. */
  | { kind: 'chain_fork' }

/** One reply for each item that was reached, in order. Any refusal but `too_many_attempts` ends the list. */
export type DecideReply = (Decided | Refused)[]

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

/** A receipt of something that no decision was about. */
export type NoteCall = {
  v: 1
  tenant: string
  agent: string
  kind: ReceiptKind
  /** Milliseconds. */
  at: number
  body: Body
  secrets: Secrets
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

/** An object's own account of itself; what it never had is absent. */
export type Status = {
  suspended: boolean
  since?: number
  by?: string
  bundle?: { seq: number; hash: string }
  head?: Head
  /** Receipts that D1 hasn't confirmed, and when the oldest of them was made. */
  unflushed: { count: number; since?: number }
  /** Where the record contradicted the chain. */
  fork?: number
}

/** One chain's receipts on their way to D1: contiguous, oldest first. */
export type CollectCall = {
  v: 1
  tenant: string
  chain: string
  agent: string
  receipts: StoredReceipt[]
}

export type CollectReply =
  /** Every receipt up to `seq` is in D1 and in the log, once. */
  | { kind: 'stored'; seq: number }
  /** D1 or the log holds another receipt at `seq`. The chain is contradicted. */
  | { kind: 'fork'; seq: number }
  /** The log has the chain only up to `seq`: what follows must be sent again. */
  | { kind: 'behind'; seq: number }
  /** D1 or the log couldn't be written; the same call may be made again. */
  | { kind: 'unavailable' }

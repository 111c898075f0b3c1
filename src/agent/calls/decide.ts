import type { ApprovalUse, Body, Obliged, Pointed, RefusedBy, Sealed, SecretsText } from '../../audit/receipt.ts'
import type { Reason } from '../../decision/reasons.ts'
import type { ClaimRecord } from '../../facts/record.ts'
import type { Lineage } from '../../identity/lineage.ts'
import type { Outcome } from '../../settle/outcome.ts'
import type { Program } from '../../settle/program.ts'
import type { Quota } from '../../settle/quota.ts'
import type { Binding } from './approvals.ts'
import type { Epoch } from './kills.ts'
import type { Reported, TellingFact } from './outcomes.ts'
import type { Needed } from './waits.ts'

/**
 * What crosses between the Worker and an agent's object. Both sides may run different versions while a deployment
 * rolls out: `v` says how to read it, fields are only added.
 */
export type DecideCall = {
  /** Before 2 an item's secrets weren't written out. */
  v: 2
  /** For the collectors: which tenant's record this is, and the collector's name. */
  tenant: string
  agent: string
  bundle: { seq: number; hash: string }
  /** Milliseconds; read once by the Worker. */
  now: number
  /** Capacity and window of the bucket that decisions without an allow draw from. */
  attempts: { capacity: number; windowMs: number }
  /** The kill switches that the Worker knows of. */
  epoch?: Epoch
  items: DecideItem[]
  /** When to stop: items after that take nothing and leave nothing. */
  stop: 'never' | 'first_deny' | 'first_permit'
  /** The proof that came with a token that is bound to a key. */
  proof?: ProofClaim
  /** What the caller's authority comes from. */
  lineage?: Lineage
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
  /** Names the action as it is written: what waits for one of the same name waits for this one. */
  actionHash: string
  /**
   * Names the intent, where the receipt doesn't say that name as the action's: what became of one of the same name bears
   * on this one.
   */
  intent?: string
  program: Program
  /** A denial that was settled before policy (unknown action, arguments that don't fit): recorded, not evaluated. */
  denied?: { reason: Reason; problems?: Pointed[] }
  /** The request's part of the receipt's body; secrets stand in it as commitments. */
  body: Body
  /** Written out once: the object keeps them and doesn't read them. */
  secrets: SecretsText
  /** What a kill switch might name: everything that the action is about. */
  targets?: string[]
  /** The permit is good for nothing until it is redeemed. */
  redeem?: boolean
  /** What the action would add to its session. */
  step?: Step
  /** The session was begun by a delegation: without what that brought nothing is judged. */
  linked?: true
  /** The members of `context.session` that any policy may read. */
  reads?: readonly string[]
  /** What names the caller, its Idempotency-Key and this item together, and the hash of the whole request. */
  idempotency?: { key: string; requestHash: string }
  /** Milliseconds that a permit lives. */
  permitMs: number
  /** What an approval of this action binds; there where a human may lift one of the program's forbids. */
  binding?: Binding
  /** The approval that the caller presented. `verified`: nothing that came with it contradicts it. */
  approval?: { id: string; verified: boolean }
  /** How long a defer waits, and what the ledger could give of what isn't known. */
  wait?: { ms: number; needs: Needed[] }
  /** What the facts at hand say of what became of the same intent, and which source does. */
  came?: { outcome: Exclude<Reported, 'unknown'>; by: string; fact: TellingFact }
  /** Evaluations of this agent that must be allowed first. */
  after?: string[]
  /** The deferred evaluation of the same action that this one takes up again. */
  continues?: string
}

/** One step of a session: the action, and what the agent learns by it. */
export type Step = {
  /** The session's name; empty where the caller named none. */
  session: string
  action: string
  /** As Cedar writes it. */
  resource: string
  type: string
  /** The class of the data that is read, and its rank; absent where nothing is. */
  read?: { class: string; level: number }
  /** What the user asked for, as a gateway tells. */
  request?: string
}

export type Decided = {
  kind: 'decided'
  evaluationId: string
  outcome: Outcome
  reason: Reason
  at: number
  /** When the permit lapses; on allow and modify. */
  expiresAt?: number
  /** The permit must be redeemed. */
  redeem?: true
  policies: string[]
  /** Names of unknowns, on defer. */
  missing: string[]
  /** Whole seconds until there is room again. */
  retryAfter?: number
  /** On modify, or where that is offered: what is changed. */
  rewrite?: { set: Record<string, unknown>; mask: string[] }
  /** The legs that refused. */
  refusedBy?: RefusedBy[]
  /** Of the limits and budgets that bore on it, the one with the least room. */
  quota?: Quota
  /** What the caller has to do beside. */
  duties?: Obliged
  /** Where the request doesn't fit the schema. */
  problems?: Pointed[]
  /** What became of the agent's claims, where this replays an answer; else the Worker knows. */
  claims?: ClaimRecord[]
  /** The same where it lies under somebody's key. */
  sealedFacts?: Sealed
  /** On defer: until when it waits, in milliseconds. */
  waitUntil?: number
  /** The deferred evaluation that this one took up. */
  continues?: string
  bundle: string
  receipt: { seq: number; hash: string }
  /** On step_up: what a human would have to lift, and until when that can be requested. */
  escalate?: { expiresAt: number; forbids: { policy: string; textHash: string }[] }
  /** Approvals that this decision used. */
  approvals?: ApprovalUse[]
  /** Whether an approval was presented, so that a denial says what to do next. */
  presented?: string
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
  /**
   * Another object that has to be told of it, or asked for it, couldn't be reached. What was to be told is allowed and on
   * record, and the same call, made again, gets it; what was to be asked isn't decided.
   */
  | { kind: 'untold' }

/** One reply for each item that was reached, in order. Any refusal but `too_many_attempts` ends the list. */
export type DecideReply = (Decided | Refused)[]

import type {
  ApprovalUse,
  Body,
  Head,
  ReceiptKind,
  RefusedBy,
  Secrets,
  SecretsText,
  StoredReceipt,
} from '../audit/receipt.ts'
import type { Intent } from '../decision/intent.ts'
import type { Obliged } from '../decision/obligations.ts'
import type { Reason } from '../decision/reasons.ts'
import type { Pointed } from '../decision/refusal.ts'
import type { Scope } from '../escalation/scope.ts'
import type { ClaimRecord } from '../facts/record.ts'
import type { BoundFact, ShownFact } from '../facts/shown.ts'
import type { Lineage } from '../identity/lineage.ts'
import type { Outcome } from '../settle/outcome.ts'
import type { Liftable, Program } from '../settle/program.ts'
import type { ScopeProgram } from '../settle/scope.ts'
import type { Quota } from '../settle/settle.ts'
import type { News, SessionState } from './session-state.ts'

// What an approval was used for is the record's, and crosses with the decision.
export type { ApprovalUse }

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

/** Hands authority on to another agent, or to a task of the same. */
export type DelegateCall = {
  v: 1
  tenant: string
  agent: string
  /** Names the delegation, and the purse that it moves something to. */
  id: string
  now: number
  attempts: { capacity: number; windowMs: number }
  /** Signed things that must not pass a second time: a proof, an identity assertion. */
  proofs: ProofClaim[]
  lineage: Lineage
  /** The kill switches that the Worker knows of, and what one might name: who hands on, to whom, and for whom. */
  epoch?: Epoch
  targets?: string[]
  /** What leaves the agent's purse; `holder` is the name of the object that gets it, `until` in milliseconds. */
  slice?: { purse: string; uses: number | null; amount: number | null; holder: string; until: number }
  /** Where it has more than there is to hand on: the humans' approval of just that. */
  widened?: { approval: string; binding: Binding; forbids: StepUp['forbids'] }
  /** The agent's session, and the one of the same delegation that inherits from it; where policies ask what went before. */
  session?: { id: string; linked?: true; to: Place }
  body: Body
  secrets: Secrets
}

/** Asks whether humans allow a delegation more than there is to hand on, and who must be asked if nobody was yet. */
export type WidenCall = Omit<DelegateCall, 'slice' | 'widened'> & { terms: Omit<StepUp, 'expiresAt'> }

export type WidenReply =
  | { kind: 'approved'; approval: string }
  /** They are being asked: about `id`, the exchange that was the first to ask for it. */
  | { kind: 'pending'; task: string; id: string }
  | { kind: 'refused'; reason: Reason; retryAfter?: number }

export type DelegateReply =
  | { kind: 'delegated'; at: number; receipt: { seq: number; hash: string }; inheritance?: Inheritance }
  | { kind: 'refused'; reason: Reason; retryAfter?: number }

/** What a delegation brings to the agent that gets it, under the delegation's id. Milliseconds. */
export type BeginCall = {
  v: 1
  id: string
  at: number
  /** What it may use and spend. */
  purse?: { uses: number | null; amount: number | null; until: number }
  /** What its session begins with. */
  inheritance?: Inheritance
}

/** One session: the object that holds it, whose that is, and its name there. */
export type Place = { object: string; agent: string; session: string }

/**
 * What a session begins with: those that it comes from, nearest first, the root of the tree last; and what the nearest
 * knew when it handed on, with the step of it that says so.
 */
export type Inheritance = { line: Place[]; seq: number; hash: string; state: SessionState }

/** Tells a session what one below it has learned, up to a step of that one. Repeating it changes nothing. */
export type ToldCall = { v: 1; session: string; from: Place & { seq: number; hash: string }; news: News }

export type Reclaimed =
  | { kind: 'returned'; uses: number | null; amount: number | null }
  /** Slices of it are still out. */
  | { kind: 'pending' }
  /** It was never opened, and won't be: all of it goes back. */
  | { kind: 'never_came' }

/** Takes away what an authority may come from, or gives it back. */
export type RevokeCall = {
  v: 1
  key: string
  /** Only what was issued until then, in milliseconds: what a security event takes. */
  before?: number
  /** Where it is given back: what security events took as well. */
  events?: boolean
  /** How long it has to be remembered: as long as a token from before may live. */
  until: number
  lifted: boolean
  at: number
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

/** A fact that isn't known; `since`: the last fact that the ledger held when it was looked for. */
export type Needed = { name: string; entity: string; predicate: string; since: number }

/** A deferred decision's wait; `asked`: a human has to lift what stands in the way. */
export type Waiting = {
  state: 'open' | 'ready' | 'continued' | 'expired' | 'asked'
  /** Milliseconds. */
  until: number
  needs: Needed[]
  /** The evaluation that took it up, or the denial that ended it. */
  by?: string
}

export type Binding = {
  actionHash: string
  /** Of AuthZEN's subject, action and resource as they came, and of the context's members that count. */
  bindingHash: string
  contextMembers: string[]
  intent: Intent
  /** What the decision relied upon, or lacked. */
  facts?: ShownFact[]
  session?: string
}

/** A decision that a human may turn into an approval: what that would bind, and until when it can be requested. */
export type StepUp = Binding & { forbids: ({ policy: string } & Liftable)[]; expiresAt: number }

/** What a human granted: once, or as often as a standing approval says. */
export type Approval = {
  id: string
  task: string
  actionHash: string
  bindingHash: string
  /** The forbids that it lifts, while their text is unchanged. */
  lifts: { policy: string; textHash: string }[]
  /** The facts that it was given on. A standing one isn't bound by them. */
  facts?: BoundFact[]
  /** Milliseconds. */
  until: number
  uses: number
  scope?: Scope
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
  /** Allowed, and on record; but a session above couldn't be told of it yet. The same call, made again, gets it. */
  | { kind: 'untold' }

/** One reply for each item that was reached, in order. Any refusal but `too_many_attempts` ends the list. */
export type DecideReply = (Decided | Refused)[]

/** A question that is no decision: what there is, not whether one thing may be done (rule 9). */
export type QuestionCall = Pick<
  DecideCall,
  'tenant' | 'agent' | 'bundle' | 'now' | 'attempts' | 'epoch' | 'proof' | 'lineage'
> & {
  v: 1
  /** UUIDv7, made by the Worker before the call. */
  id: string
  /** The bundle is one that earlier pages came from: a newer one doesn't matter. */
  pinned?: true
  /** Why nothing was looked for. */
  denied?: { reason: Reason }
  /** What a kill switch might name: everything that the question is about. */
  targets?: string[]
  /** The session that the question is asked in, where policies ask what went before. */
  session?: string
  /** As in a decision's item. */
  linked?: true
  body: Body
  secrets: Secrets
}

/** What a search found in the bundle, each with the program (by its place) that says whether it is permitted now. */
export type SearchCall = QuestionCall & { programs: Program[]; found: { result: Found; program: number }[] }

/** Asks which resources of a type are permitted. */
export type ScopeCall = QuestionCall & {
  program: ScopeProgram
  /** What a filter that lets something through adds to the session. */
  step?: Step
}

/** Asks what is left of the purse that the caller's token counts by. */
export type WhoamiCall = QuestionCall & { purse?: string }

/** An entity or an action, as AuthZEN's searches answer. */
export type Found = { type: string; id: string } | { name: string }

export type Answered<T> =
  | {
      kind: 'answered'
      at: number
      result: T
      /** Why there is nothing in it. */
      reason?: Reason
      receipt: { seq: number; hash: string }
    }
  | Exclude<Refused, { kind: 'idempotency_mismatch' | 'untold' }>

/** A kill switch that is on: what is stopped (for people), who stopped it, and why. */
export type Kill = { shown: string; by: string; reason: string; at: number }

/** What a tenant's kill switches stop, as `targets` of items name it. `seq` counts the changes. */
export type Epoch = { v: 1; seq: number; targets: string[] }

export type KillCall = {
  v: 1
  tenant: string
  target: string
  /** The same for people. */
  shown: string
  killed: boolean
  by: string
  reason: string
  at: number
}
export type KillReply =
  | { epoch: Epoch; changed: boolean }
  /** As many are on as may be. */
  | { kind: 'full' }

export type RedeemCall = { v: 1; evaluationId: string; by: string; epoch?: Epoch; at: number }

export type RedeemReply =
  | { kind: 'taken'; at: number; receipt: { seq: number; hash: string } }
  /** No such permit, or one that needn't be redeemed. */
  | { kind: 'not_found' }
  | { kind: 'suspended' | 'revoked' | 'killed' | 'lapsed' }
  | { kind: 'redeemed'; at: number }
  /** A trusted report has said what became of the action. */
  | { kind: 'settled'; outcome: Reported }

export const reported = ['done', 'failed', 'not_done', 'unknown'] as const
/** What became of an action. */
export type Reported = (typeof reported)[number]

/** A fact of the ledger, or one that an agent carried, that tells an outcome. `observedAt` in milliseconds. */
export type TellingFact = { name: string; id: string; hash: string; observedAt: number }

/** Says what became of an action that was allowed. */
export type OutcomeCall = {
  v: 1
  evaluationId: string
  /** Where its receipt stands, for those of which nothing else is kept. */
  seq?: number
  outcome: Reported
  /** The word of a tool, a gateway or a human. The agent's own is a claim: it frees and settles nothing. */
  trusted: boolean
  by: string
  /** The fact that says so, where one does. It says nothing of decisions that were made after it was observed. */
  fact?: TellingFact
  /** Of the action's result, as the reporter made it. */
  resultHash?: string
  note?: string
  /** Milliseconds. */
  at: number
}

export type OutcomeReply =
  | {
      kind: 'recorded'
      outcome: Reported
      claim: boolean
      /** How much of budgets the report gave back. */
      freed: number
      at: number
      receipt: { seq: number; hash: string }
    }
  /** The object keeps nothing of such a decision. */
  | { kind: 'not_found' }
  /** Nothing was permitted, so nothing can have come of it. */
  | { kind: 'not_permitted' }
  /** A trusted report said otherwise before. */
  | { kind: 'settled'; outcome: Reported }
  /** The fact was observed before the decision was made, or nobody can say any more that it wasn't. */
  | { kind: 'earlier' }

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

/** Asks which task the request for a denied evaluation has. `stepUp` is a `StepUp` as JSON. */
export type RequestCall = { v: 1; evaluationId: string; at: number }
export type RequestReply =
  | { kind: 'unknown' }
  | { kind: 'expired' }
  /** As many wait for humans already as may. */
  | { kind: 'too_many' }
  | { kind: 'open'; task: string; stepUp: string }

/** What became of a request for approval, delivered by the escalation's outbox. */
export type ResolveCall = {
  v: 1
  tenant: string
  agent: string
  task: string
  /** The denied evaluation. */
  evaluationId: string
  status: 'approved' | 'denied' | 'expired' | 'cancelled'
  forbids: { policy: string; textHash: string }[]
  /** Who answered what, and why: approvers as entity UIDs. */
  answers: {
    approver: string
    vote: 'approve' | 'reject'
    reason?: string
    at: number
    signedIn: boolean
    /** Names what they were shown, and the facts in it. */
    shown?: string
    facts?: BoundFact[]
  }[]
  /** Who sent the request and what it said of itself; who withdrew it, and why. Names as `Caller.name` has them. */
  requester: { name: string; client?: string; justification?: string }
  withdrawn?: { by: string; reason?: string; comment?: string }
  at: number
  approval?: Approval
  /** What humans said, as it is to be stored, where that is personal; `caller` to `withdrawn` in it. */
  secrets?: { commitments: Record<string, string>; sealed: Secrets }
}
/** Takes the copies of a request that was erased: what it asked for, and what an approval of it bound. */
export type ForgetCall = { v: 1; evaluationId: string; task: string }

export type ResolveReply = { kind: 'taken' } | { kind: 'chain_fork' }

import type { Secrets } from '../../audit/receipt.ts'
import type { Intent } from '../../decision/intent.ts'
import type { Scope } from '../../escalation/scope.ts'
import type { BoundFact, ShownFact } from '../../facts/shown.ts'
import type { Liftable } from '../../settle/program.ts'

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

import type { EntityUid } from '../cedar/json.ts'
import type { BoundFact } from '../facts/shown.ts'
import type { GrantItem } from '../identity/grant.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import type { webhookFormats } from '../policy/approvers.ts'
import type { StandingTerms } from '../policy/escalation.ts'
import type { Scope, ScopeChoice } from './scope.ts'

/**
 * What crosses between the Worker and an escalation's object. Both sides may run different versions while a deployment
 * rolls out: `v` says how to read it, fields are only added.
 */

/** A request for approval: everything that the object needs from then on, since no later caller may change any of it. */
export type OpenCall = {
  v: 1
  tenant: string
  /** The tenant's identifier, which its URLs begin with. */
  identifier: string
  task: string
  /** The denied evaluation. */
  evaluationId: string
  /** The agent's object, and the agent as Cedar writes it. */
  object: string
  agent: string
  /** What the record calls the agent, where it is a person. */
  recordAs?: string
  principals: PrincipalChain
  session?: string
  /** The denied action as AuthZEN has it, as JSON. */
  ask: string
  /** What is approved, as JSON: `Intent`. */
  intent: string
  actionHash: string
  bindingHash: string
  /** What the denied evaluation relied upon, or lacked, as JSON: `ShownFact[]`. */
  facts?: string
  /** Who sent it, as `Caller.name` has it. */
  requester: string
  /** What it says of itself (`client`), as JSON: for the record, never for a decision. */
  client?: string
  /** What the requester says for it: theirs, not ours. */
  justification?: string
  requestedUntil?: number
  requirements: Requirement[]
  /** Who must not answer, as Cedar writes them: who asks, who is asked for, and their owners. */
  barred: string[]
  /** By approver group. */
  notify: Record<string, Target[]>
  callback?: { target: Target; state?: string; events?: string[] }
  /** Where a delegation is to have more than there is to hand on, as JSON: `Widening`. */
  widening?: string
  /** Hosts that may be called. */
  outgoing: string[]
  /** Under whose key the record keeps what is said of it, where the tenant marks any of it as personal. */
  about?: EntityUid
  /** Of requests that may be answered together. */
  like: string
  bundle: { seq: number; hash: string }
  at: number
  expiresAt: number
}

/** A delegation of more than there is: to whom, what is asked for, what the delegator has, and what would be added. */
export type Widening = {
  child: EntityUid
  /** The user, where it isn't the delegator's token that says so. */
  user?: EntityUid
  asked: GrantItem[]
  has: { grant: string; items: GrantItem[] }[]
  added: { grant: string; items: GrantItem[] }[]
}

/** What one lifted forbid asks of humans. */
export type Requirement = {
  policy: string
  textHash: string
  /** The policy as its author wrote it, and why. */
  text: string
  doc?: string
  group: string
  approvals: number
  chain: { group: string; afterMs: number }[]
  remindMs?: number
  validMs: number
  approverReason: boolean
  signIn: boolean
  standing?: StandingTerms
  groupable: boolean
}

export type Target = {
  webhook: string
  url: string
  format: (typeof webhookFormats)[number]
  /** The one person that it reaches. */
  approver?: EntityUid
}

/** The profile's, and `approving`: decided, and not yet delivered to the agent's object. */
export type Status = 'pending' | 'approving' | 'approved' | 'denied' | 'expired' | 'cancelled' | 'failed'

export type Vote = {
  approver: string
  vote: 'approve' | 'reject'
  reason?: string
  at: number
  /** Policies that it counts for. */
  counts: string[]
  signedIn: boolean
  scope?: ScopeChoice
  /** Names all that they were shown (`digestOf`), and the facts in it. */
  shown?: string
  facts?: BoundFact[]
}

/** An escalation as it stands. */
export type EscalationState = {
  open: OpenCall
  status: Status
  decidedAt?: number
  votes: Vote[]
  /** When what it asked for was erased. */
  erasedAt?: number
  /** When the status can no longer be asked for. */
  handleUntil: number
  approval?: { id: string; until: number; at: number; uses: number; scope?: Scope; facts?: BoundFact[] }
  deliveries: Delivery[]
}

export type VoteCall = {
  v: 1
  approver: string
  /** Approver groups that the bundle puts them in. */
  groups: string[]
  signedIn: boolean
  vote: 'approve' | 'reject'
  reason?: string
  scope?: ScopeChoice
  at: number
  shown?: string
  facts?: BoundFact[]
}

export type VoteRefusal =
  | 'unknown_task'
  | 'self_approval'
  | 'not_an_approver'
  | 'already_voted'
  | 'already_decided'
  | 'sign_in_required'
  | 'reason_required'
  | 'standing_refused'
  | 'facts_changed'

export type VoteReply = { kind: 'taken'; status: Status; again: boolean } | { kind: 'refused'; reason: VoteRefusal }

export type CancelCall = { v: 1; by: string; reason?: string; comment?: string; at: number }
export type CancelReply = { kind: 'cancelled' } | { kind: 'refused'; reason: 'unknown_task' | 'invalid_task_state' }

/** A message to a webhook, and what became of it. */
export type Delivery = {
  /** The same in every attempt: the receiver knows a repetition by it. */
  id: string
  event: DeliveryEvent
  webhook: string
  group?: string
  approver?: EntityUid
  at: number
  status: 'pending' | 'sent' | 'dead' | 'dropped'
  attempts: Attempt[]
}
export type DeliveryEvent = 'requested' | 'reminded' | 'passed_on' | 'callback'
export type Attempt = { at: number; status?: number; error?: string }

import type { Body, Secrets } from '../../audit/receipt.ts'
import type { Reason } from '../../decision/reasons.ts'
import type { Lineage } from '../../identity/lineage.ts'
import type { Binding, StepUp } from './approvals.ts'
import type { ProofClaim } from './decide.ts'
import type { Epoch } from './kills.ts'
import type { Inheritance, Place } from './sessions.ts'

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

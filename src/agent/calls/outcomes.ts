import type { Epoch } from './kills.ts'

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

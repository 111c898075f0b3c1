import type { Body, Secrets } from '../../audit/receipt.ts'
import type { Reason } from '../../decision/reasons.ts'
import type { Program } from '../../settle/program.ts'
import type { ScopeProgram } from '../../settle/scope.ts'
import type { DecideCall, Refused, Step } from './decide.ts'

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

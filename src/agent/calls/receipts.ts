import type { Body, ReceiptKind, Secrets, StoredReceipt } from '../../audit/receipt.ts'

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

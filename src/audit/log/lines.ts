import type { Columns } from '../columns.ts'
import type { Body, Link, Secrets } from '../receipt.ts'

/**
 * An export is NDJSON: a header, and for each bundle of the log a line that proves it, followed by its receipts. It
 * needs nothing else to be verified but the keys that one trusts.
 */
export type ExportHeader = {
  type: 'export'
  v: 1
  tenant: string
  /** Leaves that the export covers; `to` is the checkpoint's size, or the end of a full bundle before it. */
  from: number
  to: number
  /** The signed checkpoint that everything below is proven to be part of. */
  checkpoint: string
  /** The verifier keys that the exporter says sign the log. */
  keys: string[]
}

export type ExportBundle = {
  type: 'bundle'
  n: number
  /** The leaves' hashes one after the other, base64. */
  leaves: string
  /** From the root over those leaves to the checkpoint's (RFC 6962, 2.1.1), base64. */
  proof: string[]
  /** The texts that the leaves are hashes of. */
  entries: string[]
}

export type ExportedReceipt = Omit<Link, 'v'> & {
  type: 'receipt'
  leaf: number
  hash: string
  /** As an object where its text is canonical, as it has to be; else the text as it was found. */
  body: Body | string
  secrets: Secrets | string
  /** What the record is searched by, as it was found; null where the store isn't searched. */
  columns: (Columns & { agent: string | null }) | null
}

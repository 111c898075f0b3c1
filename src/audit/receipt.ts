import { contentHash } from '../durable/hash.ts'

export type ReceiptKind = 'decision' | 'suspension' | 'resumption' | 'unattributed'

/**
 * What a receipt's hash covers. The body is committed to, not embedded, so that personal values can be erased later
 * without breaking the chain.
 */
export type Link = {
  v: 1
  chain: string
  seq: number
  prev: string
  kind: ReceiptKind
  /** Milliseconds since the epoch; never less than the link before. */
  at: number
  bodyCommit: string
}

/** A value that may be personal: the receipt's body holds only `commitment(secret)`. */
export type Secret = { salt: string; value: unknown }

/** The JSON object that `bodyCommit` covers; secrets stand in it as their commitments. */
export type Body = Record<string, unknown>

export type Receipt = Link & {
  hash: string
  body: Body
  /** By the name of the body's member that commits to each. Erasable. */
  secrets: Record<string, Secret>
}

/** The `prev` of a chain's first receipt. */
export const GENESIS = '-'

export const commitment = (secret: Secret): string => contentHash([secret.salt, secret.value])

export const linkHash = (link: Link): string => contentHash(link)

/** Makes the next receipt of a chain. Synchronous: no `await` may come between reading the head and writing the link. */
export const nextReceipt = (
  chain: string,
  head: { seq: number; hash: string; at: number } | undefined,
  entry: { kind: ReceiptKind; at: number; body: Body; secrets: Record<string, Secret> },
): Receipt => {
  const link: Link = {
    v: 1,
    chain,
    seq: head ? head.seq + 1 : 1,
    prev: head ? head.hash : GENESIS,
    kind: entry.kind,
    at: head ? Math.max(head.at, entry.at) : entry.at,
    bodyCommit: contentHash(entry.body),
  }
  return { ...link, hash: linkHash(link), body: entry.body, secrets: entry.secrets }
}

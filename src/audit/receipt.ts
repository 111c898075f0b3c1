import type { Reason } from '../decision/reasons.ts'
import { contentHash, sha256 } from '../durable/hash.ts'
import { inOrder, jcs } from '../durable/jcs.ts'
import type { Outcome } from '../settle/outcome.ts'
import type { Quota } from '../settle/quota.ts'

export type ReceiptKind =
  | 'decision'
  | 'search'
  | 'scope'
  | 'whoami'
  | 'suspension'
  | 'resumption'
  | 'outcome'
  | 'overdue'
  | 'redemption'
  | 'lapse'
  | 'kill'
  | 'revival'
  | 'erasure'
  | 'escalation'
  | 'expiry'
  | 'delegation'
  | 'revocation'
  | 'restoration'
  | 'security_event'

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
/** The same under the key of whom it is about, which `subject` stands for; `blind` is what it is searched by. */
export type Sealed = { sealed: string; subject: string; blind?: string }
/** By the name of the body's member that commits to each. Erasable. */
export type Secrets = Record<string, Secret | Sealed>
/** The same as JSON: how they are stored. */
export type SecretsText = string

const textOf = (secrets: Secrets | SecretsText): SecretsText =>
  typeof secrets === 'string' ? secrets : JSON.stringify(secrets)

export const isSealed = (secret: Secret | Sealed): secret is Sealed => 'sealed' in secret

/** A secret's value, unless it was erased or lies under a key. */
export const clearValue = (secrets: Secrets, name: string): unknown => {
  const secret = Object.hasOwn(secrets, name) ? secrets[name] : undefined
  return secret && !isSealed(secret) ? secret.value : undefined
}

/**
 * The JSON object that `bodyCommit` covers; secrets stand in it as their commitments. Of its members `caller`, `user`,
 * `action` and `resource` become columns that the record is searched by (strings, entity UIDs or AuthZEN's objects, in
 * the body or among the secrets), and `decision` is what the object decided.
 */
export type Body = Record<string, unknown>

/** A grant by its id, or a principal by the place of its leg: the agent, those that delegated to it, the user. */
export type RefusedBy = { grant: string } | { leg: number }

/** An approval that a decision used, and the forbids that it lifted. */
export type ApprovalUse = { id: string; until: number; standing: boolean; policies: string[] }

/** What a deferred decision waited for had come, its caller asked again before, or its time ran out. */
export type Resolution = 'arrived' | 'asked_again' | 'timed_out'

/** What a decision obliges its caller to. */
export type Obliged = {
  /** Fields of the request that the tool puts into its own log. */
  log?: string[]
  /** Milliseconds: by when the outcome must be reported. */
  report_by?: number
}

/** A place in the request and what would have been right there, under a code of `Problem` or another. */
export type Pointed = { pointer: string; code: string; expected: string }

/** What the object adds to the body of a decision's receipt. */
export type DecisionRecord = {
  evaluation_id: string
  outcome: Outcome
  reason: Reason
  policies: string[]
  bundle: { seq: number; hash: string }
  /** Names of the unknowns, on defer. */
  missing?: string[]
  /** On defer: until when it waits, in milliseconds. */
  wait_until?: number
  /** The deferred evaluation that this one took up, or ended. */
  continues?: string
  /** How the wait of that one ended; its time is this receipt's. */
  resolution?: Resolution
  /** Ids of the forbids that approvals lifted. */
  lifted?: string[]
  /** Approvals that lifted them, each used once more by this decision. */
  approvals?: ApprovalUse[]
  /** The approval that the caller presented, whatever became of it. */
  presented?: string
  /** On step_up: the forbids that a human may lift, and until when that can be requested. */
  escalate?: { expires_at: number; forbids: { policy: string; text_hash: string }[] }
  /** Milliseconds; when the permit lapses, on allow and modify. */
  expires_at?: number
  /** The permit is good for nothing until it is redeemed. */
  redeem?: true
  /** Seconds. */
  retry_after?: number
  /** The arguments that were changed, and the fields of the result that are kept back. */
  rewrite?: { set: Record<string, unknown>; mask: string[] }
  /** The legs that refused: principals and grants. */
  refused_by?: RefusedBy[]
  /** Of the limits and budgets that bore on it, the one with the least room. */
  quota?: Quota
  /**
   * The head of the session's own chain: after this step, where the action was allowed (it was judged by the one before);
   * else as it was judged by.
   */
  session?: { seq: number; hash: string }
  /** The root of the session's tree, as it was asked for what the whole tree knows. */
  tree?: { agent: string; seq: number; hash: string }
  /** What the decision obliges its caller to. */
  duties?: Obliged
  /** Where the request doesn't fit the schema. */
  problems?: Pointed[]
}

/** A receipt as it is stored and sent: `body` is the very text that `bodyCommit` is the hash of. */
export type StoredReceipt = Omit<Link, 'v' | 'chain'> & { hash: string; body: string; secrets: string }

/** A receipt as it is read. */
export type Receipt = Link & { hash: string; body: Body; secrets: Secrets }

/** The `prev` of a chain's first receipt. */
export const GENESIS = '-'

export const commitment = (secret: Secret): string => contentHash([secret.salt, secret.value])

/** What the body holds of each secret, under its name. */
export const commitmentsOf = (secrets: Record<string, Secret>): Record<string, string> =>
  Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, commitment(secret)]))

/** Of the link's JCS form: names in order, and nothing that JSON would write otherwise. */
export const linkHash = ({ at, bodyCommit, chain, kind, prev, seq, v }: Link): string =>
  sha256(JSON.stringify({ at, bodyCommit, chain, kind, prev, seq, v }))

export type Head = { seq: number; hash: string; at: number }

/** What a receipt is made of. `secrets` may come as the text that is stored. */
export type Entry = { kind: ReceiptKind; at: number; body: Body; secrets: Secrets | SecretsText }

/** Makes the next receipt of a chain. Synchronous: no `await` may come between reading the head and writing the link. */
export const nextReceipt = (chain: string, head: Head | undefined, entry: Entry): StoredReceipt => {
  const body = jcs(inOrder(entry.body))
  const link = {
    seq: head ? head.seq + 1 : 1,
    prev: head ? head.hash : GENESIS,
    kind: entry.kind,
    at: head ? Math.max(head.at, entry.at) : entry.at,
    bodyCommit: sha256(body),
  }
  return { ...link, hash: linkHash({ v: 1, chain, ...link }), body, secrets: textOf(entry.secrets) }
}

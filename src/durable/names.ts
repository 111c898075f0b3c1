import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { sha256 } from './hash.ts'

type Kind =
  | 'agent'
  | 'unattributed'
  | 'collector'
  | 'escalation'
  | 'pointer'
  | 'bundle'
  | 'fork'
  | 'log'
  | 'jwks'
  | 'proofs'
  | 'searches'
  | 'budget'
  | 'kills'
  | 'epoch'

/**
 * The one place that makes the name of an object or a KV key. Parts are hashed as a JSON array, never joined, so no
 * choice of tenant, type or id can make two different things share a name (rule 7).
 */
export const nameOf = (kind: Kind, tenant: string, ...parts: readonly string[]): string => {
  const text = JSON.stringify([kind, tenant, ...parts])
  const known = names.get(text)
  if (known !== undefined) return known
  const name = PUSHED.has(kind) ? asArgument(sha256(text)) : sha256(text)
  names.set(text, name)
  return name
}

/** What `countersign push` writes. wrangler, which it goes through, takes a key that begins with a dash for an option. */
const PUSHED: ReadonlySet<Kind> = new Set(['pointer', 'bundle'])

/** One character longer than any hash, so it is no other's name; all other names stay as they always were. */
const asArgument = (hash: string): string => (hash.startsWith('-') ? `_${hash}` : hash)

/** Most calls ask for the names of the few agents that are busy. */
const names = new LRUCache<string, string>({ max: 2_048 })

/** Which of `count` things of a kind serves `text`: even, and always the same. */
export const shardOf = (text: string, count: number): number =>
  createHash('sha256').update(text, 'utf8').digest().readUInt32BE(0) % count

import { createHash } from 'node:crypto'
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
export const nameOf = (kind: Kind, tenant: string, ...parts: readonly string[]): string =>
  sha256(JSON.stringify([kind, tenant, ...parts]))

/** Which of `count` things of a kind serves `text`: even, and always the same. */
export const shardOf = (text: string, count: number): number =>
  createHash('sha256').update(text, 'utf8').digest().readUInt32BE(0) % count

import { sha256 } from './hash.ts'

type Kind = 'agent' | 'unattributed' | 'collector' | 'pointer' | 'bundle' | 'fork'

/**
 * The one place that makes the name of an object or a KV key. Parts are hashed as a JSON array, never joined, so no
 * choice of tenant, type or id can make two different things share a name (rule 7).
 */
export const nameOf = (kind: Kind, tenant: string, ...parts: readonly string[]): string =>
  sha256(JSON.stringify([kind, tenant, ...parts]))

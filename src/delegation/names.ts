import { isSearchedBlind } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { Lineage } from '../identity/lineage.ts'
import type { Privacy } from '../policy/tenant.ts'

/** What of the vault names need. */
export type Blinding = { privacy: Privacy | undefined; vault: Pick<Vault, 'blind'> }

/** How D1 names an entity that authority comes from: users that the tenant marks as personal by what stands for them. */
export const storedKey = async (key: string, { privacy, vault }: Blinding): Promise<string> =>
  isSearchedBlind('user', key, privacy) ? vault.blind(key) : key

/** A lineage with all the names that its entities may have there. */
export const withStored = async (lineage: Lineage, blinding: Blinding): Promise<Lineage> => {
  const stored = await Promise.all(lineage.keys.filter(isEntity).map(key => storedKey(key, blinding)))
  return { ...lineage, keys: [...new Set([...lineage.keys, ...stored])] }
}

const isEntity = (key: string): boolean => key.includes('::"')

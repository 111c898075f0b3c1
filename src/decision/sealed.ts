import type { DecideItem } from '../agent/call.ts'
import { hasPersonal, sealSecrets, withoutPersonal } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { Call } from './call.ts'
import { NO_PROGRAM, type Prepared } from './prepare.ts'

/**
 * The item with what is personal under its subject's key. Where that can't be done the item is denied, and what would
 * have lain there in clear is stored nowhere.
 */
export const sealed = async ({ item, who, ask }: Prepared, { bundle }: Call, vault: Vault): Promise<DecideItem> => {
  const { privacy } = bundle.settings
  const { user } = who.principals
  const subjects = { resource: { type: ask.resource.type, id: ask.resource.id }, ...(user && { user }) }
  if (!hasPersonal(subjects, privacy)) return item
  try {
    return { ...item, secrets: await sealSecrets(item.secrets, subjects, privacy, vault) }
  } catch (error) {
    console.error('personal data could not be sealed:', error)
    const secrets = withoutPersonal(item.secrets, subjects, privacy)
    return { ...item, program: NO_PROGRAM, denied: { reason: 'redaction_failed' }, secrets }
  }
}

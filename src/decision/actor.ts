import { actingAs } from '../audit/privacy/acting.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { Privacy } from '../policy/tenant.ts'
import { agentName } from './prepare.ts'

/** The object of whoever acts as an entity, and the name that they go by there: people have a pseudonym. */
export const actorOf = async (
  uid: EntityUid,
  tenant: string,
  { privacy, vault }: { privacy: Privacy | undefined; vault: Vault },
): Promise<{ name: string; as: EntityUid }> => {
  const as = await actingAs(uid, privacy, vault)
  return { name: agentName(tenant, as), as }
}

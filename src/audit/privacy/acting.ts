import { base64url } from 'jose'
import type { EntityUid } from '../../cedar/json.ts'
import { uidText } from '../../identity/uid.ts'
import type { Privacy } from '../../policy/tenant.ts'
import { type Body, commitment, type Secrets } from '../receipt.ts'
import { sealAll } from './seal.ts'
import type { Vault } from './vault.ts'

/** Whether whoever acts as such an entity is a person, as the tenant says: then objects and receipts don't name them. */
export const isPerson = ({ type }: Pick<EntityUid, 'type'>, privacy: Privacy | undefined): boolean =>
  privacy?.people?.includes(type) ?? false

/**
 * Who an entity is to objects, chains and receipts: itself, or a pseudonym made with the person's own key. Once that is
 * erased nothing leads from one to the other, and who comes back is somebody new.
 */
export const actingAs = async (uid: EntityUid, privacy: Privacy | undefined, vault: Vault): Promise<EntityUid> =>
  isPerson(uid, privacy)
    ? { type: uid.type, id: `~${await vault.pseudonym(await vault.blind(uidText(uid)))}` }
    : { type: uid.type, id: uid.id }

/** The part of a receipt that says who acted: the pseudonym in clear, the person under their key. */
export const actedBy = async (
  actor: EntityUid,
  as: EntityUid,
  { body, secrets }: { body: Body; secrets: Secrets },
  vault: Vault,
): Promise<{ body: Body; secrets: Secrets }> => {
  const salt = base64url.encode(crypto.getRandomValues(new Uint8Array(16)))
  const acting = { salt, value: { type: actor.type, id: actor.id } }
  const sealed = await sealAll({ acting }, actor, vault)
  return { body: { ...body, agent: as, acting: commitment(acting) }, secrets: { ...secrets, ...sealed } }
}

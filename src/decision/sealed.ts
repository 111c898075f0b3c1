import type { DecideItem } from '../agent/calls/decide.ts'
import { actedBy, actingAs, isPerson } from '../audit/privacy/acting.ts'
import { hasPersonal, type Subjects, sealSecrets, withoutPersonal } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { isSealed } from '../audit/receipt.ts'
import type { EntityUid } from '../cedar/json.ts'
import { uidText } from '../identity/uid.ts'
import type { Privacy } from '../policy/tenant.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { agentName, NO_PROGRAM, objectOf, type Prepared } from './prepare.ts'
import { isRefusal, type Refusal, refusal } from './refusal.ts'
import type { Who } from './who.ts'

/**
 * The item with what is personal under its subject's key. Where that can't be done the item is denied, and what would
 * have lain there in clear is stored nowhere.
 */
export const sealed = async ({ item, who, ask }: Prepared, { bundle }: Call, vault: Vault): Promise<DecideItem> => {
  const { privacy } = bundle.settings
  const subjects = subjectsOf(ask, who, privacy)
  if (!hasPersonal(subjects, privacy)) return { ...item, secrets: JSON.stringify(item.secrets) }
  try {
    const secrets = await sealSecrets(item.secrets, subjects, privacy, vault)
    const kept = { ...item, secrets: JSON.stringify(secrets) }
    if (!secrets.arguments || !isSealed(secrets.arguments)) return kept
    // what the arguments were could be guessed from a plain hash
    return { ...kept, intent: await vault.blind(item.intent ?? item.actionHash) }
  } catch (error) {
    console.error('personal data could not be sealed:', error)
    const secrets = withoutPersonal(item.secrets, subjects, privacy)
    return { ...item, program: NO_PROGRAM, denied: { reason: 'redaction_failed' }, secrets: JSON.stringify(secrets) }
  }
}

/** Whom a receipt's data is about. Where a person is asked about and acts for nobody, they are the user. */
export const subjectsOf = (ask: Ask, { principals: { user, actor } }: Who, privacy: Privacy | undefined): Subjects => {
  const person = user ?? (isPerson(actor, privacy) ? actor : undefined)
  return { resource: { type: ask.resource.type, id: ask.resource.id }, ...(person && { user: person }) }
}

/**
 * The same at the object of the pseudonym that an acting person goes by. Without their key nobody knows which that is, so
 * there is no decision.
 */
export const underPseudonym = async (
  prepared: Prepared | Refusal,
  { bundle, tenant }: Pick<Call, 'bundle' | 'tenant'>,
  vault: Vault,
): Promise<Prepared | Refusal> => {
  if (isRefusal(prepared)) return prepared
  const { privacy } = bundle.settings
  const { actor } = prepared.who.principals
  if (!isPerson(actor, privacy)) return prepared
  try {
    const as = await actingAs(actor, privacy, vault)
    const { item } = prepared
    return {
      ...prepared,
      object: objectAs(prepared.who, as, prepared.object, tenant),
      item: { ...item, ...(await actedBy(actor, as, item, vault)) },
    }
  } catch (error) {
    console.error('a person could not be given their pseudonym:', error)
    return refusal(503, 'control_unreachable')
  }
}

/** The object of whoever asks, by the name that they go by there. */
export const objectFor = async (
  who: Who,
  call: Pick<Call, 'tenant' | 'bundle' | 'caller'>,
  vault: Vault,
): Promise<Prepared['object']> => {
  const as = await actingAs(who.principals.actor, call.bundle.settings.privacy, vault)
  return objectAs(who, as, objectOf(who, call), call.tenant)
}

const objectAs = ({ unknown }: Who, as: EntityUid, object: Prepared['object'], tenant: string): Prepared['object'] =>
  unknown ? object : { ...object, name: agentName(tenant, as), agent: uidText(as) }

import type { NoteCall } from '../agent/calls/receipts.ts'
import type { AgentObject } from '../agent/object.ts'
import { isSearchedBlind, sealSecrets } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { commitmentsOf, type ReceiptKind } from '../audit/receipt.ts'
import type { EntityUid } from '../cedar/json.ts'
import { actorOf } from '../decision/actor.ts'
import { sha256 } from '../durable/hash.ts'
import { nameOf } from '../durable/names.ts'
import { bare, uidText } from '../identity/uid.ts'
import type { Privacy } from '../policy/tenant.ts'
import { salted } from './record.ts'
import type { Taken } from './take-away.ts'

export type NotingIo = { agents: DurableObjectNamespace<AgentObject>; vault: Vault; privacy: Privacy | undefined }

export type Noted = {
  tenant: string
  kind: Extract<ReceiptKind, 'revocation' | 'restoration' | 'security_event'>
  /** Whom it is about; or on which agent's chain it belongs, as Cedar writes that, with the name of its object. */
  of: EntityUid | { agent: string; object: string }
  /** Who did it, and why. */
  by: string
  reason: string
  /** What was done. */
  about: Record<string, unknown>
  taken: Taken
  /** What must be on record once, however often it comes; until when it may come, in milliseconds. */
  once?: { id: string; until: number }
}

/** So many delegations are named one by one. */
const MOST_NAMED = 1_000

/**
 * Puts on a chain that something was taken away or given back, once it is done: where that fails the caller is told, and
 * does all of it again. The chain is that of whom it is about; of those whom the tenant marks as personal the tenant's
 * own chain of record, where who it was can be erased.
 */
export const noteTaking = async (noted: Noted, io: NotingIo): Promise<void> => {
  const { tenant, kind, of, by, reason, about, taken, once } = noted
  const user = 'id' in of && isSearchedBlind('user', uidText(of), io.privacy) ? bare(of) : undefined
  const secrets = { caller: salted(by), reason: salted(reason), ...(user && { user: salted(user) }) }
  const place = await placeOf(of, user, tenant, io)
  const { delegations, told, confirmedAt } = taken
  const call: NoteCall = {
    v: 1,
    tenant,
    agent: place.agent,
    kind,
    at: confirmedAt,
    body: {
      agent: place.agent,
      [kind]: {
        ...about,
        confirmed_at: confirmedAt,
        told,
        delegations: delegations.slice(0, MOST_NAMED),
        ...(delegations.length > MOST_NAMED && { of: delegations.length }),
      },
      ...commitmentsOf(secrets),
    },
    secrets: user ? await sealSecrets(secrets, { user, resource: user }, io.privacy, io.vault) : secrets,
  }
  const object = io.agents.getByName(place.object)
  if (once) await object.noteOnce(call, { id: sha256(once.id), call: crypto.randomUUID(), until: once.until })
  else await object.note(call)
}

const placeOf = async (
  of: Noted['of'],
  user: EntityUid | undefined,
  tenant: string,
  io: NotingIo,
): Promise<{ agent: string; object: string }> => {
  if (user) return { agent: 'record', object: nameOf('unattributed', tenant, 'record') }
  if (!('id' in of)) return of
  const { as, name } = await actorOf(of, tenant, io)
  return { agent: uidText(as), object: name }
}

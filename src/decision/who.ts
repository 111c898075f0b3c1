import type { EntityUid } from '../cedar/json.ts'
import { entityRef } from '../cedar/value.ts'
import type { Caller, PrincipalChain } from '../identity/caller.ts'
import type { Grant } from '../identity/grant.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Ask } from './ask.ts'
import type { Reason } from './reasons.ts'
import { type Refusal, refusal } from './refusal.ts'

/** Whose action is judged, and whether the caller's word about it counts. */
export type Who = {
  principals: PrincipalChain
  groups: readonly EntityUid[]
  /** A PEP asserts properties; an agent only claims them (rule 6). */
  asserts: boolean
  /** Each must permit as well. */
  grants: readonly Grant[]
  /** Set where nobody that the bundle knows acts: recorded, but on no agent's chain (rule 8). */
  unknown?: Reason
}

/**
 * Turns AuthZEN's two shapes, subject = the agent and subject = the user with a verified `act`, into one chain of
 * principals. An agent is judged for itself; a PEP may ask about anyone.
 */
export const who = (ask: Ask, caller: Caller, bundle: LoadedBundle): Who | Refusal => {
  const { type, id } = ask.subject
  const { grants = [] } = caller
  if (caller.roles.includes('pep')) {
    const principals = { actor: { type, id }, chain: [] }
    const known = bundle.schema.entityTypes.has(type)
    return { principals, groups: [], grants, asserts: true, ...(!known && { unknown: 'unknown_principal' }) }
  }
  // Genuine, but no mapping covers it: it can't be the subject it names, whoever that is.
  const principals = caller.principals
  if (!principals)
    return {
      principals: { actor: { type, id }, chain: [] },
      groups: [],
      grants,
      asserts: false,
      unknown: 'unknown_agent',
    }
  const { actor, chain, user } = principals
  if (![actor, user].some(uid => uid?.type === type && uid.id === id)) {
    return refusal(403, 'subject_mismatch', { pointer: '/subject' })
  }
  const listed = (uid: EntityUid) => bundle.entities.get(entityRef(uid.type, uid.id).key) !== undefined
  const agentsKnown = caller.admitted || [actor, ...chain].every(listed)
  const userKnown = !user || caller.userAdmitted || listed(user)
  const unknown = agentsKnown ? (userKnown ? undefined : 'unknown_principal') : 'unknown_agent'
  return { principals, groups: caller.groups, grants, asserts: false, ...(unknown && { unknown }) }
}

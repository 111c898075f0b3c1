import type { EntityUid } from '../cedar/json.ts'
import { entityRef } from '../cedar/value.ts'
import type { Caller } from '../identity/caller.ts'
import type { Grant } from '../identity/grant.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { statedBy } from './act.ts'
import type { Ask } from './ask.ts'
import type { Reason } from './reasons.ts'
import { isRefusal, type Refusal, refusal } from './refusal.ts'

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
 * Turns AuthZEN's two shapes, subject = the agent and subject = the user with an `act`, into one chain of principals. An
 * agent is judged for itself, and its token says who acts; a PEP may ask about anyone, and says it in the request.
 */
export const who = (ask: Ask, caller: Caller, bundle: LoadedBundle): Who | Refusal => {
  const { type, id } = ask.subject
  const { grants = [] } = caller
  if (caller.roles.includes('pep')) {
    const stated = statedBy(ask.subject, bundle) ?? { actor: { type, id }, chain: [] }
    if (isRefusal(stated)) return stated
    const known = everyone(stated).every(uid => bundle.schema.entityTypes.has(uid.type))
    return { principals: stated, groups: [], grants, asserts: true, ...(!known && { unknown: 'unknown_principal' }) }
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

const everyone = ({ actor, chain, user }: PrincipalChain): EntityUid[] => [actor, ...chain, ...(user ? [user] : [])]

import type { EntityUid } from '../cedar/json.ts'
import type { Role } from '../policy/roles.ts'
import type { Grant } from './grant.ts'
import type { Lineage } from './lineage.ts'
import type { PrincipalChain } from './principals.ts'

/** A principal whose token has been verified, as one tenant's bundle reads it. */
export type Caller = {
  /** Unique over the tenant's issuers: what idempotency keys and records name the caller by. */
  name: string
  /** The id of the issuer's entry in the bundle. */
  issuer: string
  roles: readonly Role[]
  /**
   * For the agent role: whose action is judged. Absent where the issuer's rule maps no such actor: the token is
   * genuine, and the agent is unknown.
   */
  principals?: PrincipalChain
  /** For the role approver: the person. Absent where the issuer's rules map no one. */
  approver?: EntityUid
  /** The actor and its chain are admitted by a mapping rule, so they needn't stand in the bundle's entities. */
  admitted: boolean
  /** The same for the user that the actor acts for. */
  userAdmitted: boolean
  /** Groups that the token puts the actor in. */
  groups: readonly EntityUid[]
  session?: string
  /** Of a session that a delegation began: the names of those that it comes from, as far as they have one, nearest first. */
  within?: readonly string[]
  /** Narrower authority that the token carries: every grant must permit as well. */
  grants?: readonly Grant[]
  /** What the authority comes from; of those that act for themselves or for a user. */
  lineage?: Lineage
  /** Of a token of our own: this delegation and those that it comes from, nearest first. */
  delegations?: readonly string[]
  /** The key that the token is bound to (RFC 7638): whoever shows it proves with each call that it holds that key. */
  jkt?: string
  /** For the role source: the id of the source of record that speaks. */
  source?: string
}

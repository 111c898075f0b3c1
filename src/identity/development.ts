import * as v from 'valibot'
import { TypeName } from '../policy/tenant.ts'
import { Claims, Name } from './claims.ts'

const Uid = v.strictObject({ type: TypeName, id: Name })

/**
 * The claims of a token of the local development issuer, which `countersign token` mints. They name entities outright,
 * so nothing is left to map; members that this list doesn't have are refused.
 */
export const DevelopmentClaims = v.strictObject({
  ...Claims.entries,
  roles: v.array(v.string()),
  /** Who acts. Needed for the role `agent`. */
  agent: v.optional(Uid),
  /** The agents that delegated to it, nearest first. */
  chain: v.optional(v.pipe(v.array(Uid), v.maxLength(8)), []),
  /** Who the agent acts for. */
  user: v.optional(Uid),
  /** Groups that the agent is put in. */
  groups: v.optional(v.pipe(v.array(Uid), v.maxLength(64)), []),
  /** The source of record that speaks. Needed for the role `source`. */
  source: v.optional(Name),
  /** The session. */
  sid: v.optional(Name),
  /** As if a rule with `admit: all` had named the agent and the user. */
  admit: v.optional(v.boolean(), false),
  /** Read as in any token. */
  cnf: v.optional(v.unknown()),
  authorization_details: v.optional(v.unknown()),
})
export type DevelopmentClaims = v.InferInput<typeof DevelopmentClaims>

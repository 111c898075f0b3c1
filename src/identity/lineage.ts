import type { EntityUid } from '../cedar/json.ts'
import type { PrincipalChain } from './principals.ts'
import { uidText } from './uid.ts'

/** All that a caller's authority comes from, by which it can be taken away, and since when it has it. */
export type Lineage = {
  /** Of the agent, those that delegated to it, the user, and the delegations. */
  keys: string[]
  /** Milliseconds: when the first token of the line was issued. */
  since: number
}

export const lineageOf = (
  { actor, chain, user }: PrincipalChain,
  delegations: readonly string[],
  since: number,
): Lineage => ({
  keys: [...[actor, ...chain, ...(user ? [user] : [])].map(entityKey), ...delegations.map(delegationKey)],
  since,
})

export const entityKey = (uid: EntityUid): string => uidText(uid)

/** No entity's: a type has no space in it. */
export const delegationKey = (id: string): string => `delegation ${id}`

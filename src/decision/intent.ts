import type { EntityUid } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import type { PrincipalChain } from '../identity/caller.ts'

/** What an agent means to do, with the arguments as they will be used. */
export type Intent = {
  tenant: string
  principals: PrincipalChain
  action: string
  resource: EntityUid
  arguments: Record<string, unknown>
}

/** Names an intent: approvals, permits and "the same intent" all mean this hash. */
export const actionHash = ({ tenant, principals, action, resource, arguments: args }: Intent): string => {
  const { actor, chain, user } = principals
  return contentHash({
    action,
    arguments: args,
    chain: [actor, ...chain].map(bare),
    resource: bare(resource),
    tenant,
    user: user ? bare(user) : null,
  })
}

const bare = ({ type, id }: EntityUid) => ({ id, type })

import type { Context } from 'hono'
import { actingAs } from '../audit/privacy/acting.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import type { EntityUid } from '../cedar/json.ts'
import { agentName } from '../decision/prepare.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { AppEnv } from './types.ts'

/** The object of whoever acts as an entity, and the name that they go by there: people have a pseudonym. */
export const actorAt = async (
  c: Context<AppEnv>,
  uid: EntityUid,
  { settings }: LoadedBundle = c.var.session.bundle,
): Promise<{ name: string; as: EntityUid }> => {
  const { tenant } = c.var.place
  const as = await actingAs(uid, settings.privacy, vaultOf(c.env, tenant, c.var.now))
  return { name: agentName(tenant, as), as }
}

import type { Context } from 'hono'
import { vaultOf } from '../audit/privacy/vault.ts'
import type { EntityUid } from '../cedar/json.ts'
import { actorOf } from '../decision/actor.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { AppEnv } from './types.ts'

/** `actorOf` for the tenant that a call is about. */
export const actorAt = async (
  c: Context<AppEnv>,
  uid: EntityUid,
  { settings }: LoadedBundle = c.var.session.bundle,
): ReturnType<typeof actorOf> => {
  const { tenant } = c.var.place
  return actorOf(uid, tenant, { privacy: settings.privacy, vault: vaultOf(c.env, tenant, c.var.now) })
}

import type { Context } from 'hono'
import { vaultOf } from '../audit/privacy/vault.ts'
import type { NotingIo } from '../delegation/noted.ts'
import type { TakingIo } from '../delegation/take-away.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { AppEnv } from './types.ts'

/** What taking away and its record need of a call. */
export const takingIo = (c: Context<AppEnv>, { settings }: LoadedBundle): TakingIo & NotingIo => ({
  db: c.env.DB,
  agents: c.env.AGENT,
  vault: vaultOf(c.env, c.var.place.tenant, c.var.now),
  privacy: settings.privacy,
})

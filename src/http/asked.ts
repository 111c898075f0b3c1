import type { Context } from 'hono'
import type { Epoch } from '../agent/calls/kills.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import type { Call } from '../decision/call.ts'
import type { Deps } from '../decision/decide.ts'
import { sessionOf, sourceIo, takenFrom } from './authenticated.ts'
import type { AppEnv } from './types.ts'

/** The kill switches. `undefined` where they can't be told: then nothing may be allowed. */
export const epochOf = (c: Context<AppEnv>): Promise<Epoch | undefined> =>
  c.get('epochs').current(c.get('place').tenant, sourceIo(c))

/** What every question of an authenticated caller is asked with. */
export const askedOf = (
  c: Context<AppEnv>,
  epoch: Epoch,
): Pick<Call, 'tenant' | 'caller' | 'bundle' | 'proof' | 'taken' | 'epoch' | 'edge' | 'requestId'> => {
  const requestId = c.req.header('x-request-id')
  const ip = c.req.header('cf-connecting-ip')
  return {
    tenant: c.get('place').tenant,
    ...c.get('session'),
    epoch,
    edge: { now: c.get('now'), ...(ip !== undefined && { ip }) },
    // Cutting it may leave half a character, which no receipt can hold.
    ...(requestId !== undefined && { requestId: requestId.slice(0, 256).toWellFormed() }),
  }
}

/** What it is answered with. */
export const answerersOf = (c: Context<AppEnv>): Pick<Deps, 'agents' | 'vault' | 'taken' | 'adopt'> => {
  const { tenant } = c.get('place')
  return {
    agents: c.env.AGENT,
    vault: vaultOf(c.env, tenant, c.get('now')),
    taken: (lineage, bundle) => takenFrom(c, lineage, bundle),
    adopt: async newer => {
      const found = await c.get('parts').source.adopt(tenant, newer, sourceIo(c))
      if (!found.ok) return undefined
      const again = await sessionOf(c, found.bundle)
      return again instanceof Response ? undefined : { bundle: found.bundle, caller: again.caller }
    },
  }
}

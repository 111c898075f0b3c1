import { randomBytes } from 'node:crypto'
import { commitment, type Secret } from '../audit/receipt.ts'
import type { Standing, StandingCall } from './calls/standing.ts'
import { append } from './chain.ts'
import { openSelf } from './self.ts'

/** Suspends or resumes the agent, on its chain. The next decision sees it; where it is so already, nothing happens. */
export const setStanding = (
  storage: DurableObjectStorage,
  chain: string,
  suspended: boolean,
  call: StandingCall,
  clock: () => number,
): Standing =>
  storage.transactionSync(() => {
    const self = openSelf(storage, { tenant: call.tenant, chain, agent: call.agent })
    const now = Math.max(call.at, self.head?.at ?? 0)
    if (self.suspended === suspended) {
      const { since, by } = self
      return {
        suspended,
        ...(since !== undefined && { since }),
        ...(by !== undefined && { by }),
        confirmedAt: now,
        changed: false,
      }
    }
    const secrets = { caller: secret(call.by), reason: secret(call.reason) }
    const body = { agent: call.agent, caller: commitment(secrets.caller), reason: commitment(secrets.reason) }
    const { seq, hash } = append(
      storage,
      self,
      { kind: suspended ? 'suspension' : 'resumption', at: now, body, secrets },
      clock,
    )
    storage.sql.exec(
      'UPDATE self SET suspended = ?, standing_since = ?, standing_by = ?',
      Number(suspended),
      now,
      call.by,
    )
    return { suspended, since: now, by: call.by, confirmedAt: now, changed: true, receipt: { seq, hash } }
  })

export const secret = (value: unknown): Secret => ({ salt: randomBytes(16).toString('base64url'), value })

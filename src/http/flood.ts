import type { MiddlewareHandler } from 'hono'
import { refusal } from '../decision/refusal.ts'
import { sha256 } from '../durable/hash.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

/** What the binding FLOOD lets through, as wrangler.toml says it: calls of one caller, in a minute, at one location. */
const FLOOD_PER_MINUTE = 200_000

/**
 * Sheds floods before anything is judged: 429, "not a decision". It is no limit: it counts each location by itself, and
 * only stands where it lets through ten times what the tenant grants to attempts, so no limit is ever met here first. A Worker without the binding sheds nothing.
 */
export const flood: MiddlewareHandler<AppEnv> = async (c, next) => {
  const { caller, bundle } = c.get('session')
  const attempts = (bundle.attempts.capacity * 60_000) / bundle.attempts.windowMs
  const { FLOOD }: Partial<Pick<Env, 'FLOOD'>> = c.env
  if (FLOOD && attempts * 10 <= FLOOD_PER_MINUTE) {
    const key = sha256(JSON.stringify([c.get('place').tenant, caller.name]))
    const { success } = await FLOOD.limit({ key })
    if (!success) {
      // counted by whoever counts log lines: a row or an object for each would help the flood
      console.warn(JSON.stringify({ event: 'flood', tenant: c.get('place').tenant, key }))
      return problem(refusal(429, 'flood', { retryAfter: 60 }))
    }
  }
  return next()
}

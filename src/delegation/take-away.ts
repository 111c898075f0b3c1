import type { RevokeCall } from '../agent/call.ts'
import type { AgentObject } from '../agent/object.ts'
import { deleteRevocation, holdersOf, insertRevocation } from './store.ts'

export type Taking = {
  tenant: string
  /** What lineages name it by. */
  key: string
  /** Only what was issued until then, in milliseconds. */
  before?: number
  /** Who takes it, and why. */
  by: string
  reason: string
  /** Give back what was taken. */
  lifted?: boolean
  /** The object of the agent that is meant, where there is one: it is told with its descendants. */
  holder?: string
  /** Milliseconds. */
  now: number
}

export type TakingIo = { db: D1Database; agents: DurableObjectNamespace<AgentObject> }

/**
 * Takes away an agent, a user or a delegation with all that comes from it: on record first, so that new delegations of
 * it and tokens of other issuers are refused too, then told to the object of every agent that holds some of it. A
 * delegation stands in D1 before its agent can do anything with it, and an agent that was told hands nothing on; so when
 * a look finds nobody who wasn't told, nobody is left. `confirmedAt`: no decision that allows has a later time.
 */
export const takeAway = async (taking: Taking, io: TakingIo): Promise<{ confirmedAt: number; told: number }> => {
  const { tenant, key, before, by, reason, lifted = false, holder, now } = taking
  if (lifted) await deleteRevocation(io.db, tenant, key)
  else await insertRevocation(io.db, { tenant, key, before: before ?? null, at: now, by, reason })
  const call: RevokeCall = {
    v: 1,
    key,
    until: now + REMEMBER_MS,
    lifted,
    at: now,
    ...(before !== undefined && { before }),
  }
  const told = new Set<string>()
  let confirmedAt = now
  for (let first = true; ; first = false) {
    const holders = await holdersOf(io.db, tenant, key, now)
    const names = [...new Set([...holders, ...(first && holder !== undefined ? [holder] : [])])].filter(
      name => !told.has(name),
    )
    if (names.length === 0) return { confirmedAt, told: told.size }
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const batch = names.slice(at, at + AT_ONCE)
      const replies = await Promise.all(batch.map(name => io.agents.getByName(name).takeAway(call)))
      for (const name of batch) told.add(name)
      confirmedAt = Math.max(confirmedAt, ...replies.map(reply => reply.confirmedAt))
    }
  }
}

/** As long as any token lives that was issued before: an issuer's `max_age` is a day at most. */
const REMEMBER_MS = 2 * 86_400_000
const AT_ONCE = 50

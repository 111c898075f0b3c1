import type { RevokeCall } from '../agent/calls/delegate.ts'
import type { AgentObject } from '../agent/object.ts'
import { type Blinding, storedKey } from './names.ts'
import { deleteRevocation, insertRevocation, livingBelow } from './store.ts'

export type Taking = {
  tenant: string
  /** What lineages name it by. */
  key: string
  /** What a security event takes: only what was issued until then, in milliseconds. */
  before?: number
  /** Who takes it, and why. */
  by: string
  reason: string
  /** Give back what an admin took; `events`: what security events took as well. */
  lifted?: boolean
  events?: boolean
  /** The object of the agent that is meant, where there is one: it is told with its descendants. */
  holder?: string
  /** Milliseconds. */
  now: number
}

export type TakingIo = Blinding & { db: D1Database; agents: DurableObjectNamespace<AgentObject> }

export type Taken = {
  /** No decision that allows has a later time. */
  confirmedAt: number
  /** How many objects were told. */
  told: number
  /** The living delegations that come from it. */
  delegations: string[]
  /** Where it was to be given back: whether it had been taken. */
  changed: boolean
}

/**
 * Takes away an agent, a user or a delegation with all that comes from it: on record first, so that new delegations of
 * it and tokens of other issuers are refused too, then told to the object of every agent that holds some of it. A
 * delegation stands in D1 before its agent can do anything with it, and an agent that was told hands nothing on; so when
 * a look finds nobody who wasn't told, nobody is left.
 */
export const takeAway = async (taking: Taking, io: TakingIo): Promise<Taken> => {
  const { tenant, key, before, by, reason, lifted = false, events = false, holder, now } = taking
  const stored = await storedKey(key, io)
  // Where the tenant came to mark users as personal, some may still stand there by name.
  const keys = [...new Set([key, stored])]
  const eventBefore = before ?? null
  let changed = true
  if (lifted) changed = await deleteRevocation(io.db, tenant, keys, { events })
  else await insertRevocation(io.db, { tenant, key: stored, before: eventBefore, eventBefore, at: now, by, reason })
  const call: RevokeCall = {
    v: 1,
    key,
    until: now + REMEMBER_MS,
    lifted,
    at: now,
    ...(before !== undefined && { before }),
    ...(events && { events }),
  }
  const told = new Set<string>()
  const delegations = new Set<string>()
  let confirmedAt = now
  for (let first = true; ; first = false) {
    const living = await livingBelow(io.db, tenant, keys, now)
    for (const { id } of living) delegations.add(id)
    const holders = [...living.map(one => one.holder), ...(first && holder !== undefined ? [holder] : [])]
    const names = [...new Set(holders)].filter(name => !told.has(name))
    if (names.length === 0) return { confirmedAt, told: told.size, delegations: [...delegations].sort(), changed }
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const batch = names.slice(at, at + AT_ONCE)
      const replies = await Promise.all(batch.map(name => io.agents.getByName(name).takeAway(call)))
      for (const name of batch) told.add(name)
      confirmedAt = Math.max(confirmedAt, ...replies.map(reply => reply.confirmedAt))
    }
  }
}

/** As long as any token lives that was issued before: an issuer's `max_age` is a day at most. */
export const REMEMBER_MS = 2 * 86_400_000
const AT_ONCE = 50

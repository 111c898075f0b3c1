import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import { jcs } from '../durable/jcs.ts'
import { nameOf } from '../durable/names.ts'
import type { OutgoingLimits } from '../outgoing/fetch.ts'
import type { Issuer } from '../policy/tenant.ts'
import { fetchKeys, keyLocation, type ServedKeys } from './key-fetch.ts'
import { loadKeys, useOf, type VerificationKey, verificationKeys } from './key-set.ts'

/**
 * Issuers' keys as an isolate has them. Keys that stand in the bundle are at hand; those of a URL are kept by tenant,
 * issuer and URL, confirmed in the background, and served for up to a day while their URL is down. A stranger's token
 * can't make the Worker call an issuer more often than the floors below.
 */
export type KeySets = {
  /**
   * The keys to verify with. `wanted` is what a token's header names: where the set lacks it the issuer may have
   * changed its keys, and is asked.
   */
  keysOf: (issuer: Issuer, io: KeyIo, wanted?: { alg: string; kid: string | undefined }) => Promise<Keys>
}

/** `unavailable`: the issuer can't be reached, and what was known of its keys is too old or nothing. */
export type Keys = readonly VerificationKey[] | 'unavailable'

/** What a request lends. */
export type KeyIo = {
  tenant: string
  /** The bundle's allow-list. */
  hosts: readonly string[]
  local: boolean
  kv: {
    get: (key: string, options: { type: 'text' }) => Promise<string | null>
    put: (key: string, value: string, options: { expirationTtl: number }) => Promise<void>
  }
  /** Milliseconds; read once per request. */
  now: number
  waitUntil: (work: Promise<unknown>) => void
  /** Told why an issuer's keys can't be had. */
  report?: (problem: string) => void
} & Pick<OutgoingLimits, 'fetch'>

type KeySetsOptions = {
  /** How long a fetched set is taken as current. */
  freshMs: number
  /** How long the last good one is served while its URL is down. */
  keepMs: number
  /** Least time between two calls to one issuer, whatever the reason. */
  floorMs: number
  /** Least time until one unknown `kid` may cause another call. */
  kidMs: number
  /** How long one call may take. */
  deadlineMs: number
  /** How often a set that didn't change is written down anew. */
  storeMs: number
}

const defaults: KeySetsOptions = {
  freshMs: 10 * 60_000,
  keepMs: 24 * 3_600_000,
  floorMs: 10_000,
  kidMs: 5 * 60_000,
  deadlineMs: 5_000,
  storeMs: 3_600_000,
}

/** How often a request looks whether another one has got the keys. */
const POLL_MS = 20

export const createKeySets = (options: Partial<KeySetsOptions> = {}): KeySets => {
  const { freshMs, keepMs, floorMs, kidMs, deadlineMs, storeMs } = { ...defaults, ...options }
  const known = new LRUCache<string, Known>({ max: 1_000 })

  return { keysOf }

  async function keysOf(issuer: Issuer, io: KeyIo, wanted?: { alg: string; kid: string | undefined }): Promise<Keys> {
    if (issuer.jwks) return verificationKeys(issuer)
    const key = keyOf(issuer, io)
    let entry = known.get(key)
    if (!entry) {
      entry = { triedAt: Number.NEGATIVE_INFINITY, busyUntil: 0, kids: new Map() }
      known.set(key, entry)
    }
    if (!entry.held) entry.held = await recall(key, issuer, io)
    const held = current(entry, io.now)
    if (!held) await renew(key, entry, issuer, io)
    else if (wanted && lacks(held, wanted)) {
      if (mayAsk(entry, wanted.kid, io.now) && (await renew(key, entry, issuer, io)))
        entry.kids.set(wanted.kid ?? '', io.now)
    } else if (io.now - held.fetchedAt >= freshMs) {
      io.waitUntil(renew(key, entry, issuer, io))
    }
    return current(entry, io.now)?.keys ?? 'unavailable'
  }

  /** What may still be used. */
  function current({ held }: Known, now: number): Held | undefined {
    return held && now - held.fetchedAt < keepMs ? held : undefined
  }

  /** A `kid` that no set had is asked for once in a while only: anybody can make one up. */
  function mayAsk({ kids }: Known, kid = '', now: number): boolean {
    for (const [asked, at] of kids) if (now - at >= kidMs) kids.delete(asked)
    return !kids.has(kid) && kids.size < MAX_KIDS
  }

  /**
   * Asks the issuer, unless it was asked a moment ago. Requests that come while another one asks look for what it got:
   * its promise isn't theirs to wait for, and that request may end before its call does. Says whether it asked.
   */
  async function renew(key: string, entry: Known, issuer: Issuer, io: KeyIo): Promise<boolean> {
    const before = entry.held
    for (let now = io.now; now < entry.busyUntil && entry.held === before; now += POLL_MS) {
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
    if (entry.held !== before || io.now - entry.triedAt < floorMs) return false
    entry.triedAt = io.now
    // Discovery takes two calls.
    entry.busyUntil = io.now + 2 * deadlineMs
    try {
      const rules = { hosts: io.hosts, local: io.local }
      const served = await fetchKeys(issuer, rules, { deadlineMs, ...(io.fetch && { fetch: io.fetch }) })
      if (typeof served === 'string') {
        io.report?.(`tenant ${io.tenant}: the keys of issuer ${issuer.id} can't be had: ${served}`)
        return true
      }
      const was = entry.held
      entry.held = await heldOf(served, issuer, io.now)
      const same = was && jcs(was.served) === jcs(served)
      if (same && io.now - was.storedAt < storeMs) entry.held.storedAt = was.storedAt
      else io.waitUntil(store(key, entry.held, io))
      return true
    } finally {
      entry.busyUntil = 0
    }
  }

  /** What an isolate before this one has got. */
  async function recall(key: string, issuer: Issuer, io: KeyIo): Promise<Held | undefined> {
    const text = await io.kv.get(key, { type: 'text' }).catch(() => null)
    const stored = v.safeParse(v.pipe(v.string(), v.parseJson(), Stored), text)
    if (!stored.success) return undefined
    const { keys, fetched_at } = stored.output
    return { ...(await heldOf(keys, issuer, fetched_at)), storedAt: fetched_at }
  }

  async function store(key: string, { served, fetchedAt }: Held, io: KeyIo): Promise<void> {
    const value = { v: 1, fetched_at: fetchedAt, keys: [...served] } satisfies v.InferInput<typeof Stored>
    try {
      await io.kv.put(key, JSON.stringify(value), { expirationTtl: keepMs / 1000 })
    } catch (error) {
      io.report?.(`tenant ${io.tenant}: an issuer's keys could not be kept: ${String(error)}`)
    }
  }
}

/** Unknown `kid`s of one issuer that are remembered at a time; beyond that none causes a call. */
const MAX_KIDS = 64

type Known = {
  held?: Held | undefined
  /** Start of the last call. */
  triedAt: number
  /** Another request is asking, and will have its answer by then. */
  busyUntil: number
  /** When a `kid` that the set lacked was asked for. */
  kids: Map<string, number>
}

type Held = { served: ServedKeys; keys: readonly VerificationKey[]; fetchedAt: number; storedAt: number }

const Stored = v.object({
  v: v.literal(1),
  fetched_at: v.number(),
  keys: v.array(v.record(v.string(), v.unknown())),
})

const keyOf = (issuer: Issuer, { tenant }: KeyIo): string => {
  const location = keyLocation(issuer)
  const url = location && ('keys' in location ? location.keys : location.metadata)
  return nameOf('jwks', tenant, issuer.id, issuer.iss, url ?? '')
}

const heldOf = async (served: ServedKeys, issuer: Issuer, at: number): Promise<Held> => {
  const { keys } = await loadKeys(served, issuer.algorithms, useOf(issuer))
  return { served, keys, fetchedAt: at, storedAt: at }
}

const lacks = ({ keys }: Held, wanted: { alg: string; kid: string | undefined }): boolean =>
  !keys.some(key => key.alg === wanted.alg && (wanted.kid === undefined || key.kid === wanted.kid))

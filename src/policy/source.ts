import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import { nameOf } from '../durable/names.ts'
import { Pointer, readBundle } from './bundle.ts'
import { type LoadedBundle, loadBundle } from './load.ts'

/**
 * Where a Worker's isolate gets its bundles from. KV is late, and may fail: what was read last is served while it is
 * confirmed in the background, up to a stated bound; and an isolate never goes back in `seq`.
 */
export type Source = {
  /** The tenant's active bundle. Once warm it waits for nothing, unless the bound has passed. */
  current: (tenant: string, io: SourceIo) => Promise<Found>
  /** For an agent object's `stale_bundle`: the bundle of a newer activation, read by its hash. */
  adopt: (tenant: string, newer: Activation, io: SourceIo) => Promise<Found>
  /** The bundle of any activation, for as long as it can still be read: to look back with, and to go on with pages. */
  past: (tenant: string, activation: Activation, io: SourceIo) => Promise<LoadedBundle | undefined>
}

export type Found = { ok: true; bundle: LoadedBundle } | { ok: false; reason: 'no_policy' | 'bundle_stale' }

export type Activation = { seq: number; hash: string }

/** What a request lends to the source. */
export type SourceIo = {
  kv: { get: (key: string, options: { type: 'text'; cacheTtl?: number }) => Promise<string | null> }
  /** Milliseconds; read once per request. */
  now: number
  waitUntil: (work: Promise<unknown>) => void
  /** Whether the Worker runs with LOCAL="true". Only then is a development issuer accepted. */
  local: boolean
  /** Told why a bundle that the pointer or an object names can't be used. */
  report?: (problem: string) => void
}

export type SourceOptions = {
  /** How long a pointer that was read is taken as current. */
  refreshMs: number
  /** How long the last good bundle is served without a successful read of the pointer. */
  boundMs: number
  /** How long a failed read answers for requests that have nothing else. */
  negativeMs: number
  /** How long one read of KV may take. */
  deadlineMs: number
  /** Bytes of heap. */
  cacheBytes: number
}

const defaults: SourceOptions = {
  refreshMs: 5_000,
  boundMs: 120_000,
  negativeMs: 1_000,
  deadlineMs: 3_000,
  cacheBytes: 48 * 1024 * 1024,
}

/** The least that KV allows. Bodies keep the default, a minute: KV remembers for as long that a key was not there yet. */
const POINTER_TTL_SECONDS = 30

/** Measured: the heap that a bundle takes once all its policies are compiled, per character of its text. */
const HEAP_PER_CHARACTER = 6

/** What is active for a tenant, as far as this isolate has heard. */
type Active = {
  seq: number
  /** Where its body is kept, in KV and here. */
  key: string
  hash: string
  /** Start of the last successful read of the pointer. */
  confirmedAt: number
  /** Start of the last read, whatever became of it. */
  triedAt: number
}

/**
 * The state of one isolate (tests make two). It holds values only: a promise that belongs to one request must not be
 * awaited by another, so requests that find nothing here each read for themselves.
 */
export const createSource = (options: Partial<SourceOptions> = {}): Source => {
  const { refreshMs, boundMs, negativeMs, deadlineMs, cacheBytes } = { ...defaults, ...options }
  /** Only tenants that had a bundle stand here: made-up names neither fill it nor push a `seq` out of it. */
  const tenants = new Map<string, Active>()
  const bundles = new LRUCache<string, Held>({ maxSize: cacheBytes, sizeCalculation: held => held.bytes })
  const failures = new LRUCache<string, { at: number; reason: Failure }>({ max: 1_000 })
  /** Bodies that are what their hash says and still can't be used; that doesn't change while the isolate lives. */
  const refused = new LRUCache<string, true>({ max: 1_000 })

  return { current, adopt, past: bundleOf }

  async function current(tenant: string, io: SourceIo): Promise<Found> {
    const served = usable(tenant, io.now)
    if (served !== undefined) {
      if (io.now - Math.max(served.active.confirmedAt, served.active.triedAt) >= refreshMs) {
        io.waitUntil(refresh(tenant, io))
      }
      return { ok: true, bundle: served.bundle }
    }
    const failure = failures.get(tenant)
    if (failure !== undefined && io.now - failure.at < negativeMs) return { ok: false, reason: failure.reason }
    await refresh(tenant, io)
    const found = usable(tenant, io.now)
    if (found !== undefined) return { ok: true, bundle: found.bundle }
    return { ok: false, reason: failures.get(tenant)?.reason ?? 'bundle_stale' }
  }

  async function adopt(tenant: string, newer: Activation, io: SourceIo): Promise<Found> {
    if ((tenants.get(tenant)?.seq ?? 0) >= newer.seq) return current(tenant, io)
    const bundle = await bundleOf(tenant, newer, io)
    if (bundle === undefined) return { ok: false, reason: 'bundle_stale' }
    activate(bundle)
    return { ok: true, bundle }
  }

  /** What may be served now without asking anyone. */
  function usable(tenant: string, now: number): { active: Active; bundle: LoadedBundle } | undefined {
    const active = tenants.get(tenant)
    if (active === undefined || now - active.confirmedAt >= boundMs) return undefined
    const bundle = bundles.get(active.key)?.bundle
    return bundle && { active, bundle }
  }

  /** Reads the pointer and what it names. Never throws: what failed stands in `failures`. */
  async function refresh(tenant: string, io: SourceIo): Promise<void> {
    const before = tenants.get(tenant)
    if (before !== undefined) before.triedAt = io.now
    const pointer = await readPointer(tenant, io)
    if (typeof pointer === 'string') return fail(tenant, pointer, io)
    // Read now, not before: while KV took its time, another request may have gone further.
    const active = tenants.get(tenant)
    if (active?.seq === pointer.seq && active.hash !== pointer.hash) {
      io.report?.(`tenant ${tenant}: activation ${pointer.seq} has two bundles`)
      return fail(tenant, 'bundle_stale', io)
    }
    // A pointer behind what is active is KV being late, and confirms that nothing newer is to be had.
    const bundle = await bundleOf(tenant, active !== undefined && active.seq > pointer.seq ? active : pointer, io)
    if (bundle === undefined) return fail(tenant, 'bundle_stale', io)
    activate(bundle, io.now)
  }

  function activate(bundle: LoadedBundle, confirmedAt = Number.NEGATIVE_INFINITY): void {
    const { seq, hash, tenant } = bundle
    const active = tenants.get(tenant)
    if (active === undefined || seq > active.seq) {
      const times = { confirmedAt: active?.confirmedAt ?? confirmedAt, triedAt: active?.triedAt ?? confirmedAt }
      tenants.set(tenant, { seq, hash, key: nameOf('bundle', tenant, hash), ...times })
    }
    const known = tenants.get(tenant)
    if (known !== undefined) known.confirmedAt = Math.max(known.confirmedAt, confirmedAt)
    failures.delete(tenant)
  }

  function fail(tenant: string, reason: Failure, io: SourceIo): void {
    failures.set(tenant, { at: io.now, reason })
  }

  async function bundleOf(tenant: string, { seq, hash }: Activation, io: SourceIo): Promise<LoadedBundle | undefined> {
    const key = nameOf('bundle', tenant, hash)
    const held = bundles.get(key)
    if (held !== undefined) {
      if (held.bundle.seq >= seq) return held.bundle
      // The same content, activated again.
      const bundle = { ...held.bundle, seq }
      bundles.set(key, { ...held, bundle })
      return bundle
    }
    if (refused.has(key)) return undefined
    const text = await within(deadlineMs, () => io.kv.get(key, { type: 'text' }))
    if (typeof text !== 'string') return undefined
    const content = readBundle(text, hash)
    if (content === undefined) {
      io.report?.(`tenant ${tenant}: the body stored for bundle ${hash} is not that bundle`)
      return undefined
    }
    const loaded = loadBundle(content, { tenant, seq, hash, local: io.local })
    if (!loaded.ok) {
      io.report?.(`tenant ${tenant}: bundle ${hash} is refused: ${loaded.problem}`)
      refused.set(key, true)
      return undefined
    }
    bundles.set(key, { bundle: loaded.bundle, bytes: text.length * HEAP_PER_CHARACTER })
    return loaded.bundle
  }

  async function readPointer(tenant: string, io: SourceIo): Promise<Pointer | Failure> {
    const options = { type: 'text', cacheTtl: POINTER_TTL_SECONDS } as const
    const text = await within(deadlineMs, () => io.kv.get(nameOf('pointer', tenant), options))
    if (text === null) return 'no_policy'
    const pointer = v.safeParse(v.pipe(v.string(), v.parseJson(), Pointer), text)
    return pointer.success ? pointer.output : 'bundle_stale'
  }
}

type Held = { bundle: LoadedBundle; bytes: number }
type Failure = 'no_policy' | 'bundle_stale'

/** The result, or `undefined` when it failed or took too long. */
const within = <T>(ms: number, work: () => Promise<T>): Promise<T | undefined> =>
  new Promise(resolve => {
    const timer = setTimeout(resolve, ms, undefined)
    const settle = (result: T | undefined) => {
      clearTimeout(timer)
      resolve(result)
    }
    Promise.resolve()
      .then(work)
      .then(settle, () => settle(undefined))
  })

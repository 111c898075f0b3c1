import { describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import { createSource, type Found } from '../../src/policy/source.ts'
import { createIo, createKv, point, push, pushBody, smallBundle } from './doubles.ts'

const seqOf = (found: Found) => (found.ok ? found.bundle.seq : found.reason)

describe('the first request of an isolate', () => {
  it('reads pointer and body, and the next reads nothing', async () => {
    const kv = createKv()
    const { hash } = push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io } = createIo(kv)
    const found = await source.current('acme', io)
    expect(found).toMatchObject({ ok: true, bundle: { seq: 1, hash, tenant: 'acme' } })
    expect(found.ok && found.bundle.rules.get('all-read')).toMatchObject({
      effect: 'permit',
      textHash: 'text-hash',
      limits: [{ capacity: 20, windowMs: 3_600_000, per: 'agent' }],
    })
    expect(kv.reads).toEqual([nameOf('pointer', 'acme'), nameOf('bundle', 'acme', hash)])
    expect(await source.current('acme', io)).toEqual(found)
    expect(kv.reads).toHaveLength(2)
  })

  it('says no_policy where there is no pointer, and remembers that for a moment', async () => {
    const kv = createKv()
    const source = createSource()
    const { io } = createIo(kv)
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'no_policy' })
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'no_policy' })
    expect(kv.reads).toHaveLength(1)
    push(kv, 1, smallBundle('acme', 'one'))
    io.now += 1_000
    expect(seqOf(await source.current('acme', io))).toBe(1)
  })

  it('says bundle_stale while KV fails, and recovers', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    kv.fail(true)
    const source = createSource()
    const { io } = createIo(kv)
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    kv.fail(false)
    io.now += 1_000
    expect(seqOf(await source.current('acme', io))).toBe(1)
  })

  it('does not wait for KV longer than the deadline', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    kv.hold()
    const source = createSource({ deadlineMs: 20 })
    const { io } = createIo(kv)
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    kv.release()
  })

  it.each([
    ['no JSON', '{'],
    ['another shape', '{"v":2,"seq":1,"hash":"x"}'],
  ])('takes a pointer that is %s for a failed read', async (_, text) => {
    const kv = createKv()
    kv.values.set(nameOf('pointer', 'acme'), text)
    expect(await createSource().current('acme', createIo(kv).io)).toEqual({ ok: false, reason: 'bundle_stale' })
  })
})

describe('KV is late', () => {
  it('a warm request never waits: it gets the last good bundle, and the pointer is read beside it', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled, pending } = createIo(kv)
    await source.current('acme', io)
    push(kv, 2, smallBundle('acme', 'two'))
    io.now += 4_999
    expect(seqOf(await source.current('acme', io))).toBe(1)
    expect(pending).toHaveLength(0)
    io.now += 1
    kv.hold()
    expect(seqOf(await source.current('acme', io))).toBe(1)
    expect(seqOf(await source.current('acme', io))).toBe(1)
    expect(pending, 'one read for all').toHaveLength(1)
    await started()
    const reading = kv.waiting()
    expect(reading).toBe(1)
    kv.release()
    await settled()
    expect(seqOf(await source.current('acme', io))).toBe(2)
  })

  it('an isolate never goes back in seq, whatever order the answers come in', async () => {
    const kv = createKv()
    const one = push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    // A read that starts now sees seq 1, and answers last.
    kv.hold()
    io.now += 5_000
    await source.current('acme', io)
    await started()
    push(kv, 2, smallBundle('acme', 'two'))
    io.now += 5_000
    await source.current('acme', io)
    await started()
    expect(kv.waiting()).toBe(2)
    kv.release('reversed')
    await settled()
    expect(seqOf(await source.current('acme', io))).toBe(2)
    // And a location that hasn't heard of seq 2 yet.
    point(kv, 'acme', one)
    io.now += 5_000
    await source.current('acme', io)
    await settled()
    expect(seqOf(await source.current('acme', io))).toBe(2)
  })

  it('two isolates may see different pointers; the one behind adopts what the other had', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const [east, west] = [createSource(), createSource()]
    const { io, settled } = createIo(kv)
    await east.current('acme', io)
    await west.current('acme', io)
    const two = push(kv, 2, smallBundle('acme', 'two'))
    io.now += 5_000
    await east.current('acme', io)
    await settled()
    expect(seqOf(await east.current('acme', io))).toBe(2)
    io.now -= 1
    expect(seqOf(await west.current('acme', io))).toBe(1)
    kv.reads.length = 0
    expect(seqOf(await west.adopt('acme', two, io))).toBe(2)
    expect(kv.reads, 'by its hash alone').toEqual([nameOf('bundle', 'acme', two.hash)])
    expect(seqOf(await west.current('acme', io))).toBe(2)
    expect(seqOf(await west.adopt('acme', { seq: 1, hash: 'any' }, io)), 'not back').toBe(2)
  })

  it('adopting fails where the body cannot be read, and the last good bundle stays', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io } = createIo(kv)
    await source.current('acme', io)
    expect(await source.adopt('acme', { seq: 2, hash: 'nowhere' }, io)).toEqual({ ok: false, reason: 'bundle_stale' })
    expect(seqOf(await source.current('acme', io))).toBe(1)
  })

  it('a pointer before its body changes nothing until the body is there', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    const two = smallBundle('acme', 'two')
    const hash = pushBody(createKv(), two)
    point(kv, 'acme', { seq: 2, hash })
    io.now += 5_000
    await source.current('acme', io)
    await settled()
    expect(seqOf(await source.current('acme', io))).toBe(1)
    pushBody(kv, two)
    io.now += 5_000
    await source.current('acme', io)
    await settled()
    expect(seqOf(await source.current('acme', io))).toBe(2)
  })

  it('a pointer whose body stays away is no confirmation: the bound holds', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    point(kv, 'acme', { seq: 2, hash: 'nowhere' })
    io.now += 119_999
    expect(seqOf(await source.current('acme', io))).toBe(1)
    await settled()
    io.now += 1_001
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
  })
})

describe('the bound', () => {
  it('serves the last good bundle while KV fails, then says bundle_stale, then recovers', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    kv.fail(true)
    for (let waited = 10_000; waited < 120_000; waited += 10_000) {
      io.now += 10_000
      expect(seqOf(await source.current('acme', io))).toBe(1)
      await settled()
    }
    io.now += 10_000
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    kv.fail(false)
    io.now += 1_000
    expect(seqOf(await source.current('acme', io))).toBe(1)
  })

  it('past it, failing reads are not repeated by every request', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io } = createIo(kv)
    await source.current('acme', io)
    kv.fail(true)
    io.now += 200_000
    kv.reads.length = 0
    for (let i = 0; i < 10; i++) await source.current('acme', io)
    expect(kv.reads).toHaveLength(1)
  })

  it('an isolate that slept confirms before it serves', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io } = createIo(kv)
    await source.current('acme', io)
    push(kv, 2, smallBundle('acme', 'two'))
    io.now += 3_600_000
    expect(seqOf(await source.current('acme', io))).toBe(2)
  })

  it('a pointer that vanished is no confirmation', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    kv.values.delete(nameOf('pointer', 'acme'))
    io.now += 60_000
    expect(seqOf(await source.current('acme', io))).toBe(1)
    await settled()
    io.now += 60_000
    expect(await source.current('acme', io)).toEqual({ ok: false, reason: 'no_policy' })
  })
})

describe('what is refused', () => {
  it('a body that is not what its hash says', async () => {
    const kv = createKv()
    const one = push(kv, 1, smallBundle('acme', 'one'))
    const other = pushBody(kv, smallBundle('acme', 'other'))
    const forged = kv.values.get(nameOf('bundle', 'acme', other)) ?? ''
    kv.values.set(nameOf('bundle', 'acme', one.hash), forged)
    const { io, problems } = createIo(kv)
    expect(await createSource().current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    expect(problems).toEqual([expect.stringContaining('is not that bundle')])
  })

  it("another tenant's bundle, put under this tenant's name", async () => {
    const kv = createKv()
    const other = pushBody(kv, smallBundle('other', 'one'))
    kv.values.set(nameOf('bundle', 'acme', other), kv.values.get(nameOf('bundle', 'other', other)) ?? '')
    point(kv, 'acme', { seq: 1, hash: other })
    const { io, problems } = createIo(kv)
    expect(await createSource().current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    expect(problems).toEqual([expect.stringContaining('tenant other')])
  })

  it('a development issuer, unless the Worker runs locally', async () => {
    const kv = createKv()
    const bundle = smallBundle('acme', 'one', ({ settings }) => {
      settings.issuers.push({
        id: 'development',
        iss: 'countersign:development',
        algorithms: ['EdDSA'],
        jwks: { keys: [{}] },
        roles: { allowed: ['agent'], claim: 'roles', default: [] },
        skew: 30,
        max_age: 3600,
        development: true,
      })
    })
    push(kv, 1, bundle)
    const { io, problems } = createIo(kv)
    expect(await createSource().current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    expect(problems).toEqual([expect.stringContaining('development issuer')])
    expect(seqOf(await createSource().current('acme', createIo(kv, true).io))).toBe(1)
  })

  it('an annotation that this version of the Worker does not know', async () => {
    const kv = createKv()
    const bundle = smallBundle('acme', 'one', ({ policies }) => {
      const policy = policies.staticPolicies?.['all-read']
      if (policy) Object.assign(policy, { annotations: { id: 'all-read', of_next_year: 'x' } })
    })
    push(kv, 1, bundle)
    const { io, problems } = createIo(kv)
    expect(await createSource().current('acme', io)).toEqual({ ok: false, reason: 'bundle_stale' })
    expect(problems).toEqual([expect.stringContaining('@of_next_year')])
  })

  it('two bundles under one seq', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, problems, settled } = createIo(kv)
    const before = await source.current('acme', io)
    push(kv, 1, smallBundle('acme', 'two'))
    io.now += 5_000
    expect(await source.current('acme', io)).toEqual(before)
    await settled()
    expect(problems).toEqual([expect.stringContaining('two bundles')])
    expect(await source.current('acme', io)).toEqual(before)
  })
})

describe('the cache of an isolate', () => {
  it('is bounded by bytes: what does not fit is read again, and seq still never goes back', async () => {
    const kv = createKv()
    push(kv, 7, smallBundle('acme', 'one'))
    push(kv, 1, smallBundle('other', 'one'))
    const source = createSource({ cacheBytes: 4_500 })
    const { io } = createIo(kv)
    expect(seqOf(await source.current('acme', io))).toBe(7)
    expect(seqOf(await source.current('other', io))).toBe(1)
    kv.reads.length = 0
    push(kv, 6, smallBundle('acme', 'older'))
    expect(seqOf(await source.current('acme', io))).toBe(7)
    expect(kv.reads.length).toBeGreaterThan(0)
  })

  it('keeps the same content activated again (a rollback) without reading its body', async () => {
    const kv = createKv()
    const one = push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io, settled } = createIo(kv)
    await source.current('acme', io)
    push(kv, 2, smallBundle('acme', 'two'))
    io.now += 5_000
    await source.current('acme', io)
    await settled()
    point(kv, 'acme', { seq: 3, hash: one.hash })
    io.now += 5_000
    kv.reads.length = 0
    await source.current('acme', io)
    await settled()
    expect(await source.current('acme', io)).toMatchObject({ ok: true, bundle: { seq: 3, hash: one.hash } })
    expect(kv.reads).toEqual([nameOf('pointer', 'acme')])
  })

  it('made-up tenants leave nothing behind that grows', async () => {
    const kv = createKv()
    push(kv, 1, smallBundle('acme', 'one'))
    const source = createSource()
    const { io } = createIo(kv)
    await source.current('acme', io)
    for (let i = 0; i < 2_000; i++) await source.current(`made-up-${i}`, io)
    kv.reads.length = 0
    expect(seqOf(await source.current('acme', io))).toBe(1)
    expect(kv.reads).toHaveLength(0)
  })
})

/** Lets what was started reach its first read. */
const started = () => new Promise(resolve => setTimeout(resolve, 0))

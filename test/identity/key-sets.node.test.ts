import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { createKeySets } from '../../src/identity/key-sets.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import { ioOf, startIdp } from './idp.ts'
import { issuerOf, pair } from './tokens.ts'

const idp = await startIdp()
afterAll(() => idp.stop())
const old = await pair('ES256', 'old')
const next = await pair('ES256', 'next')

const at = (change: Partial<Issuer> = {}): Issuer => {
  const { jwks: _, ...rest } = issuerOf([old], { iss: idp.origin })
  return { ...rest, jwks_uri: `${idp.origin}/keys`, ...change }
}
const T0 = 1_800_000_000_000
const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000]
const serving = (...keys: { public: Record<string, unknown> }[]) =>
  idp.serve('/keys', { keys: keys.map(key => key.public) })
const kids = (keys: Awaited<ReturnType<ReturnType<typeof createKeySets>['keysOf']>>) =>
  typeof keys === 'string' ? keys : keys.map(({ kid }) => kid).join(' ')

beforeEach(() => {
  idp.state.answers = {}
  idp.state.calls = []
})

const fresh = () => createKeySets({ deadlineMs: 300 })

describe('a key set by URL', () => {
  it('is fetched once for many requests, and confirmed after ten minutes in the background', async () => {
    serving(old)
    const sets = fresh()
    for (let i = 0; i < 100; i++) expect(kids(await sets.keysOf(at(), ioOf(idp.host, T0 + i).io))).toBe('old')
    expect(idp.state.calls).toHaveLength(1)
    serving(next)
    const later = ioOf(idp.host, T0 + 11 * MINUTE)
    expect(kids(await sets.keysOf(at(), later.io))).toBe('old')
    await later.settle()
    expect(kids(await sets.keysOf(at(), ioOf(idp.host, T0 + 11 * MINUTE + 1).io))).toBe('next')
    expect(idp.state.calls).toHaveLength(2)
  })

  it('is fetched once by requests that come at once to an isolate that has nothing', async () => {
    idp.state.answers['/keys'] = (_, response) =>
      setTimeout(() => response.end(JSON.stringify({ keys: [old.public] })), 60)
    const sets = fresh()
    const found = await Promise.all(Array.from({ length: 50 }, () => sets.keysOf(at(), ioOf(idp.host, T0).io)))
    expect(found.map(kids)).toEqual(Array(50).fill('old'))
    expect(idp.state.calls).toHaveLength(1)
  })

  it('knows a rotated key as soon as a token names it', async () => {
    serving(old)
    const sets = fresh()
    await sets.keysOf(at(), ioOf(idp.host, T0).io)
    serving(old, next)
    const wanted = { alg: 'ES256', kid: 'next' }
    const found = await Promise.all(
      Array.from({ length: 20 }, () => sets.keysOf(at(), ioOf(idp.host, T0 + 11 * SECOND).io, wanted)),
    )
    expect(found.map(kids)).toEqual(Array(20).fill('old next'))
    expect(idp.state.calls).toHaveLength(2)
  })

  it('is asked for an unknown kid once in five minutes, and for 1,000 made-up ones no more than every ten seconds', async () => {
    serving(old)
    const sets = fresh()
    await sets.keysOf(at(), ioOf(idp.host, T0).io)
    for (let second = 0; second < 300; second++)
      await sets.keysOf(at(), ioOf(idp.host, T0 + second * SECOND).io, { alg: 'ES256', kid: 'one' })
    expect(idp.state.calls).toHaveLength(2)
    for (let i = 0; i < 1_000; i++)
      await sets.keysOf(at(), ioOf(idp.host, T0 + 5 * MINUTE + i * 60).io, { alg: 'ES256', kid: `made-up-${i}` })
    expect(idp.state.calls.length).toBeLessThanOrEqual(2 + 6 + 1)
  })

  it('that is down is served from the last good one for a day, in this isolate and in new ones, and then no more', async () => {
    serving(old)
    const { io, kv, settle } = ioOf(idp.host, T0)
    const sets = fresh()
    await sets.keysOf(at(), io)
    await settle()
    idp.state.answers['/keys'] = (_, response) => response.writeHead(503).end()
    for (const hours of [1, 12, 23.9]) {
      const here = ioOf(idp.host, T0 + hours * HOUR, kv)
      expect(kids(await sets.keysOf(at(), here.io)), `${hours} h`).toBe('old')
      await here.settle()
      const elsewhere = ioOf(idp.host, T0 + hours * HOUR, kv)
      expect(kids(await fresh().keysOf(at(), elsewhere.io)), `new isolate, ${hours} h`).toBe('old')
      await elsewhere.settle()
    }
    expect(await sets.keysOf(at(), ioOf(idp.host, T0 + 24 * HOUR, kv).io)).toBe('unavailable')
    expect(await fresh().keysOf(at(), ioOf(idp.host, T0 + 24 * HOUR, kv).io)).toBe('unavailable')
  })

  it('that was withdrawn by its issuer is withdrawn here', async () => {
    serving(old)
    const sets = fresh()
    await sets.keysOf(at(), ioOf(idp.host, T0).io)
    idp.serve('/keys', { keys: [] })
    const later = ioOf(idp.host, T0 + 11 * MINUTE)
    await sets.keysOf(at(), later.io)
    await later.settle()
    expect(kids(await sets.keysOf(at(), ioOf(idp.host, T0 + 11 * MINUTE + 1).io))).toBe('')
  })

  it('is never another tenant’s or another issuer’s', async () => {
    serving(old)
    const kv = new Map<string, string>()
    const sets = fresh()
    const first = ioOf(idp.host, T0, kv)
    await sets.keysOf(at(), first.io)
    await first.settle()
    serving(next)
    const other = ioOf(idp.host, T0, kv)
    expect(kids(await sets.keysOf(at(), { ...other.io, tenant: 'other' }))).toBe('next')
    expect(kids(await sets.keysOf(at({ id: 'second' }), other.io))).toBe('next')
    expect(kids(await sets.keysOf(at(), other.io))).toBe('old')
  })

  it('survives a KV that fails', async () => {
    serving(old)
    const { io, problems, settle } = ioOf(idp.host, T0)
    const dead = async () => {
      throw new Error('KV is down')
    }
    expect(kids(await fresh().keysOf(at(), { ...io, kv: { get: dead, put: dead } }))).toBe('old')
    await settle()
    expect(problems).toHaveLength(1)
  })
})

describe('where the URL fails', () => {
  const faults: [string, () => void, RegExp][] = [
    ['down', () => Object.assign(idp.state, { answers: {} }), /status 404/],
    ['erring', () => serveRaw(500, 'oops'), /status 500/],
    [
      'slow',
      () => {
        idp.state.answers['/keys'] = (_, response) => setTimeout(() => response.end('{"keys":[]}'), 2_000).unref()
      },
      /timed_out/,
    ],
    ['huge', () => serveRaw(200, `{"keys":[],"pad":"${'x'.repeat(70_000)}"}`), /too_large/],
    [
      'redirecting',
      () => {
        idp.state.answers['/keys'] = (_, response) => response.writeHead(302, { location: '/other' }).end()
        idp.serve('/other', { keys: [next.public] })
      },
      /redirected/,
    ],
    ['serving HTML', () => serveRaw(200, '<html>'), /not a JSON object/],
    ['serving a member twice', () => serveRaw(200, '{"keys":[],"keys":[]}'), /not a JSON object/],
    ['serving no keys member', () => serveRaw(200, '{}'), /not a key set/],
    ['serving 33 keys', () => idp.serve('/keys', { keys: Array(33).fill(next.public) }), /not a key set/],
    ['serving texts for keys', () => idp.serve('/keys', { keys: ['a'] }), /not a key set/],
  ]
  const serveRaw = (status: number, body: string) => {
    idp.state.answers['/keys'] = (_, response) => response.writeHead(status).end(body)
  }

  it.each(faults)('%s: what is known holds, and without that the token can not be judged', async (_, fail, why) => {
    const cold = ioOf(idp.host, T0)
    fail()
    expect(await fresh().keysOf(at(), cold.io)).toBe('unavailable')
    expect(cold.problems).toEqual([expect.stringMatching(why)])

    serving(old)
    const sets = fresh()
    await sets.keysOf(at(), ioOf(idp.host, T0).io)
    fail()
    const { io, settle, problems } = ioOf(idp.host, T0 + 20 * MINUTE)
    expect(kids(await sets.keysOf(at(), io))).toBe('old')
    await settle()
    expect(problems).toEqual([expect.stringMatching(why)])
    expect(kids(await sets.keysOf(at(), ioOf(idp.host, T0 + 20 * MINUTE + 1).io))).toBe('old')
  })

  it('is not asked again for ten seconds, however many tokens come', async () => {
    const sets = fresh()
    for (let i = 0; i < 100; i++) await sets.keysOf(at(), ioOf(idp.host, T0 + i * 99).io)
    expect(idp.state.calls).toHaveLength(1)
    serving(old)
    expect(kids(await sets.keysOf(at(), ioOf(idp.host, T0 + 10 * SECOND).io))).toBe('old')
  })

  it('a key that is private, weak or of another algorithm is left out, and the others stand', async () => {
    const weak = { kty: 'oct', k: 'c2VjcmV0', kid: 'weak', alg: 'HS256' }
    idp.serve('/keys', { keys: [weak, { ...next.public, d: 'x' }, old.public] })
    expect(kids(await fresh().keysOf(at(), ioOf(idp.host, T0).io))).toBe('old')
  })
})

describe('discovery', () => {
  const discovering = (discovery: 'openid' | 'oauth', iss: string) => {
    const { jwks_uri: _, ...rest } = at({ iss })
    return { ...rest, discovery }
  }
  const metadata = (path: string, more: Record<string, unknown>) =>
    idp.serve(path, { jwks_uri: `${idp.origin}/keys`, ...more })

  it.each([
    ['openid', '', '/.well-known/openid-configuration'],
    ['openid', '/realm', '/realm/.well-known/openid-configuration'],
    ['oauth', '', '/.well-known/oauth-authorization-server'],
    ['oauth', '/realm', '/.well-known/oauth-authorization-server/realm'],
  ] as const)('%s finds the keys of %s at %s', async (kind, path, where) => {
    const iss = `${idp.origin}${path}`
    metadata(where, { issuer: iss })
    serving(old)
    expect(kids(await fresh().keysOf(discovering(kind, iss), ioOf(idp.host, T0).io))).toBe('old')
  })

  it('refuses metadata of another issuer (RFC 8414, 3.3)', async () => {
    metadata('/.well-known/openid-configuration', { issuer: `${idp.origin}/` })
    serving(old)
    const { io, problems } = ioOf(idp.host, T0)
    expect(await fresh().keysOf(discovering('openid', idp.origin), io)).toBe('unavailable')
    expect(problems).toEqual([expect.stringContaining('another issuer')])
  })

  it('is not led to a host that the bundle does not list', async () => {
    metadata('/.well-known/openid-configuration', { issuer: idp.origin, jwks_uri: 'https://evil.example/keys' })
    const { io, problems } = ioOf(idp.host, T0)
    expect(await fresh().keysOf(discovering('openid', idp.origin), io)).toBe('unavailable')
    expect(problems).toEqual([expect.stringContaining('host_not_allowed')])
  })
})

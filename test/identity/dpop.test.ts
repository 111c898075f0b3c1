import { exportJWK } from 'jose'
import { describe, expect, it } from 'vitest'
import { noncesOf } from '../../src/identity/nonces.ts'
import { authenticate } from '../../src/identity/verify.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import { holder, prove } from './proofs.ts'
import { claimsOf, forge, hmac, issuerOf, NOW, pair, rsaPair, seconds, TENANT, verification } from './tokens.ts'

const idp = await pair('ES256', 'idp-1')
const issuer = issuerOf([idp])
const mine = await holder()
const thief = await holder()
const secretJwk = await exportJWK(thief.private)
const token = await forge(idp, claimsOf({ cnf: { jkt: mine.jkt } }))
const url = 'https://countersign.example/acme/access/v1/evaluation'
const nonces = noncesOf('a secret', TENANT, NOW)
const call = { method: 'POST', url, now: NOW, token }

type Options = { scheme?: string; token?: string; issuer?: Issuer; method?: string; url?: string; now?: number }

const ask = async (proof: string | undefined, options: Options = {}) => {
  const { scheme = 'DPoP', issuer: entry = issuer, now = NOW, method = 'POST', url: at = url } = options
  const result = await authenticate(
    `${scheme} ${options.token ?? token}`,
    [entry],
    verification({ now, call: { method, url: at, proof, nonces } }),
  )
  return result.ok ? (result.proof?.jkt ?? 'no proof') : `${result.reason}: ${result.detail}`
}

describe('a token that is bound to a key', () => {
  it.each(['ES256', 'EdDSA', 'RS256', 'PS256'])('is taken with a proof of that key, %s', async alg => {
    const key = await holder(alg)
    const bound = await forge(idp, claimsOf({ cnf: { jkt: key.jkt } }))
    expect(await ask(await prove(key, { ...call, token: bound }), { token: bound })).toBe(key.jkt)
  })

  it('is not taken as a bearer token, with or without a proof (RFC 9449, 7.1)', async () => {
    expect(await ask(await prove(mine, call), { scheme: 'Bearer' })).toBe('invalid_token: scheme')
    expect(await ask(undefined, { scheme: 'Bearer' })).toBe('invalid_token: scheme')
  })

  it('is not taken without a proof', async () => {
    expect(await ask(undefined)).toBe('invalid_dpop_proof: absent')
  })

  it('and a token that is not bound does not become one by the scheme (RFC 9449, 7.1)', async () => {
    const plain = await forge(idp, claimsOf())
    expect(await ask(await prove(mine, { ...call, token: plain }), { token: plain })).toBe('invalid_token: scheme')
  })

  it('in a second way, or one that nobody checks, is refused', async () => {
    for (const cnf of [{ 'x5t#S256': mine.jkt }, { jkt: mine.jkt, kid: 'a' }, { jkt: 'short' }, {}, 'jkt', null]) {
      const odd = await forge(idp, claimsOf({ cnf }))
      expect(await ask(await prove(mine, { ...call, token: odd }), { token: odd })).toBe('invalid_token: not_supported')
    }
  })

  it('is demanded where the issuer’s entry says so', async () => {
    const demanding = issuerOf([idp], { dpop: 'required' })
    const plain = await forge(idp, claimsOf())
    expect(await ask(undefined, { token: plain, scheme: 'Bearer', issuer: demanding })).toBe('invalid_token: unbound')
    expect(await ask(await prove(mine, call), { issuer: demanding })).toBe(mine.jkt)
  })

  it('has its proof checked each time, though the token is cached', async () => {
    expect(await ask(await prove(mine, call))).toBe(mine.jkt)
    expect(await ask(undefined)).toBe('invalid_dpop_proof: absent')
    expect(await ask(await prove(thief, call))).toBe('invalid_dpop_proof: wrong_key')
  })
})

describe('RFC 9449, 4.3: a proof', () => {
  it.each([
    ['that comes twice', async () => `${await prove(mine, call)}, ${await prove(mine, call)}`, 'malformed'],
    ['that is no JWT', async () => 'a.b', 'malformed'],
    ['that is huge', async () => prove(mine, call, { claims: { pad: 'x'.repeat(5_000) } }), 'oversized'],
    ['without jti', async () => prove(mine, call, { claims: { jti: undefined } }), 'claims'],
    ['with an empty jti', async () => prove(mine, call, { claims: { jti: '' } }), 'claims'],
    ['without htm', async () => prove(mine, call, { claims: { htm: undefined } }), 'claims'],
    ['without htu', async () => prove(mine, call, { claims: { htu: undefined } }), 'claims'],
    ['without iat', async () => prove(mine, call, { claims: { iat: undefined } }), 'claims'],
    ['with iat as text', async () => prove(mine, call, { claims: { iat: `${seconds}` } }), 'claims'],
    ['without ath', async () => prove(mine, call, { claims: { ath: undefined } }), 'token'],
    ['of another method', async () => prove(mine, { ...call, method: 'GET' }), 'method'],
    ['of a method in other letters', async () => prove(mine, { ...call, method: 'post' }), 'method'],
    ['of another path', async () => prove(mine, { ...call, url: `${url}s` }), 'uri'],
    ['of another host', async () => prove(mine, { ...call, url: url.replace('example', 'test') }), 'uri'],
    ['of plain http', async () => prove(mine, { ...call, url: url.replace('https', 'http') }), 'uri'],
    ['of another port', async () => prove(mine, { ...call, url: url.replace('.example', '.example:8443') }), 'uri'],
    ['of a URL with a user', async () => prove(mine, { ...call, url: url.replace('//', '//me@') }), 'uri'],
    ['of no URL', async () => prove(mine, { ...call, url: 'evaluation' }), 'uri'],
    ['that is old', async () => prove(mine, call, { claims: { iat: seconds - 91 } }), 'age'],
    ['of the future', async () => prove(mine, call, { claims: { iat: seconds + 31 } }), 'age'],
    ['that another key signed', async () => prove(mine, call, { by: thief }), 'signature'],
    ['with a private key in it', async () => prove(mine, call, { header: { jwk: secretJwk } }), 'key'],
    ['without a key', async () => prove(mine, call, { header: { jwk: undefined } }), 'key'],
    [
      'that names its key elsewhere',
      async () => prove(mine, call, { header: { jku: 'https://evil.example' } }),
      'header',
    ],
    ['with an extension', async () => prove(mine, call, { header: { crit: ['x'], x: 1 } }), 'header'],
  ])('%s is refused', async (_, proof, detail) => {
    expect(await ask(await proof())).toBe(`invalid_dpop_proof: ${detail}`)
  })

  it('is for the URL however that is written, without query and fragment', async () => {
    for (const same of [`${url}?a=1#b`, url.replace('countersign.example', 'COUNTERSIGN.example:443')])
      expect(await ask(await prove(mine, { ...call, url: same }))).toBe(mine.jkt)
  })

  it('is good for a minute and the skew', async () => {
    expect(await ask(await prove(mine, call, { claims: { iat: seconds - 89 } }))).toBe(mine.jkt)
    expect(await ask(await prove(mine, call, { claims: { iat: seconds + 30 } }))).toBe(mine.jkt)
  })
})

describe('RFC 9449, 11', () => {
  it('11.2 proofs made ahead are no use where nonces are demanded, and 11.3 leaving the nonce out is no way around', async () => {
    const strict = issuerOf([idp], { dpop: 'nonce' })
    const ahead = noncesOf('a secret', TENANT, NOW + 3_600_000).current
    const old = noncesOf('a secret', TENANT, NOW - 3_600_000).current
    const elsewhere = noncesOf('a secret', 'https://countersign.example/other', NOW).current
    const guessed = noncesOf('another secret', TENANT, NOW).current
    expect(await ask(await prove(mine, call), { issuer: strict })).toBe('use_dpop_nonce: nonce_absent')
    for (const nonce of [ahead, old, elsewhere, guessed, 'x'])
      expect(await ask(await prove(mine, call, { claims: { nonce } }), { issuer: strict })).toBe(
        'use_dpop_nonce: nonce',
      )
    const last = noncesOf('a secret', TENANT, NOW - 300_000).current
    for (const nonce of [nonces.current, last])
      expect(await ask(await prove(mine, call, { claims: { nonce } }), { issuer: strict })).toBe(mine.jkt)
  })

  it('11.3 a nonce that is not ours is refused where none is demanded too', async () => {
    expect(await ask(await prove(mine, call, { claims: { nonce: 'x' } }))).toBe('use_dpop_nonce: nonce')
  })

  it('11.5 another signed JWT of the same key is no proof', async () => {
    for (const typ of ['JWT', 'at+jwt', 'permit+jwt', 'DPoP+JWT ', undefined])
      expect(await ask(await prove(mine, call, { header: { typ } }))).toBe('invalid_dpop_proof: type')
  })

  it('11.6 only asymmetric algorithms that are known count, never none', async () => {
    for (const alg of ['none', 'HS256', 'ES384', 'RS512', 'es256', undefined])
      expect(await ask(await prove(mine, call, { header: { alg } }))).toBe('invalid_dpop_proof: algorithm')
    const secret = new TextEncoder().encode(JSON.stringify(mine.jwk))
    const header = { typ: 'dpop+jwt', alg: 'HS256', jwk: mine.jwk }
    const claims = { jti: 'a', htm: 'POST', htu: url, iat: seconds }
    expect(await ask(await hmac(secret, header, claims))).toBe('invalid_dpop_proof: algorithm')
    const weak = await rsaPair(1024, 'weak')
    expect(await ask(await prove({ ...mine, alg: 'RS256', jwk: weak.public }, call, { by: weak }))).toBe(
      'invalid_dpop_proof: key',
    )
  })

  it('11.8 a stolen token with the thief’s own proof, and a proof of another token, are refused', async () => {
    expect(await ask(await prove(thief, call))).toBe('invalid_dpop_proof: wrong_key')
    const other = await forge(idp, claimsOf({ cnf: { jkt: mine.jkt }, jti: 'other' }))
    expect(await ask(await prove(mine, { ...call, token: other }))).toBe('invalid_dpop_proof: token')
  })
})

import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { type TokenKind, verifyToken } from '../../src/identity/token.ts'
import { authenticate, type Verification } from '../../src/identity/verify.ts'
import { Issuer } from '../../src/policy/tenant.ts'
import { holder, prove } from './proofs.ts'
import { b64, claimsOf, forge, hmac, ISS, issuerOf, pair, rsaPair, verification } from './tokens.ts'

/** One attack for each rule of RFC 8725, section 3; test/identity/attacks.test.ts has them at length. */
const idp = await pair('ES256', 'idp')
const other = await pair('ES256', 'other')
const issuer = issuerOf([idp])
const second = issuerOf([other], { id: 'second', iss: 'https://second.example', agent: { type: 'Agent' } })

const ask = async (token: string, issuers = [issuer], changes: Partial<Verification> = {}) => {
  const result = await authenticate(`Bearer ${token}`, issuers, verification(changes))
  return result.ok ? (result.caller.principals ?? 'nobody') : result.detail
}
const header = { alg: 'ES256', kid: 'idp' }

describe('RFC 8725, 3', () => {
  it('3.1 perform algorithm verification: the entry says which, not the token', async () => {
    const rsa = await rsaPair(2048, 'rsa')
    const both = issuerOf([idp], { jwks: { keys: [idp.public, rsa.public] } })
    expect(await ask(await forge(rsa), [both])).toBe('algorithm')
    expect(await ask(await forge(idp, claimsOf(), { ...header, alg: 'none' }))).toBe('algorithm')
  })

  it('3.2 use appropriate algorithms: no others can be registered', () => {
    for (const alg of ['none', 'HS256', 'RS1', 'ES256K', 'RSA1_5', 'ECDH-ES', 'dir'])
      expect(v.safeParse(Issuer, { ...issuer, algorithms: [alg] }).success).toBe(false)
  })

  it('3.3 validate all cryptographic operations: a right signature around another token vouches for nothing in it', async () => {
    const inner = await forge(other)
    expect(await ask(await forge(idp, inner, { ...header, cty: 'JWT' }))).toBe('malformed')
    expect(await ask(await forge(idp, claimsOf({ token: inner, sub: undefined })))).toBe('malformed_claims')
  })

  it('3.4 validate cryptographic inputs: a point that is not on the curve is no key', async () => {
    const key = await holder()
    const bound = await forge(idp, claimsOf({ cnf: { jkt: key.jkt } }))
    const url = 'https://countersign.example/acme/access/v1/evaluation'
    const call = { method: 'POST', url, now: verification().now, token: bound }
    for (const jwk of [
      { ...key.jwk, y: key.jwk.x },
      { ...key.jwk, x: 'A'.repeat(43), y: 'A'.repeat(43) },
      { ...key.jwk, crv: 'P-521' },
    ]) {
      const proof = await prove(key, call, { header: { jwk } })
      const nonces = { current: '', accepts: () => false }
      const result = await authenticate(`DPoP ${bound}`, [issuer], verification({ call: { ...call, proof, nonces } }))
      expect(result).toMatchObject({ ok: false, reason: 'invalid_dpop_proof' })
    }
    const off = issuerOf([idp], { jwks: { keys: [{ ...idp.public, y: idp.public.x }] } })
    expect(await ask(await forge(idp), [off])).toBe('unknown_key')
  })

  it('3.5 ensure cryptographic keys have sufficient entropy: no passwords, no short keys', async () => {
    const password = new TextEncoder().encode('secret')
    const symmetric = issuerOf([idp], { jwks: { keys: [{ kty: 'oct', k: b64('secret'), kid: 'idp', alg: 'HS256' }] } })
    expect(await ask(await hmac(password, { alg: 'HS256', kid: 'idp' }), [symmetric])).toBe('algorithm')
    const weak = await rsaPair(1024, 'weak')
    expect(await ask(await forge(weak), [issuerOf([weak])])).toBe('unknown_key')
  })

  it('3.6 avoid compression of encryption inputs: nothing encrypted or compressed is read', async () => {
    const parts = [b64({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }), '', b64('iv'), b64('text'), b64('tag')]
    expect(await ask(parts.join('.'))).toBe('malformed')
    expect(await ask(await forge(idp, claimsOf(), { ...header, zip: 'DEF' }))).toBe('header')
  })

  it('3.7 use UTF-8: no other encoding says the same', async () => {
    const text = JSON.stringify(claimsOf())
    const wide = new Uint8Array([...text].flatMap(character => [character.charCodeAt(0), 0]))
    const marked = new Uint8Array([0xef, 0xbb, 0xbf, ...new TextEncoder().encode(text)])
    const overlong = new TextEncoder().encode(text.replace('refunder', 'refund?'))
    overlong[overlong.indexOf(0x3f)] = 0xc0
    for (const bytes of [wide, marked, overlong]) expect(await ask(await forge(idp, bytes))).toBe('malformed')
  })

  it('3.8 validate issuer and subject: keys vouch for their own issuer, subjects as its entry maps them', async () => {
    const both = [issuer, second]
    expect(await ask(await forge(other, claimsOf(), { alg: 'ES256', kid: 'idp' }), both)).toBe('signature')
    expect(await ask(await forge(other), both)).toBe('unknown_key')
    // The same name by two issuers is not the same agent.
    expect(await ask(await forge(idp), both)).toMatchObject({ actor: { id: 'idp/refunder' } })
    expect(await ask(await forge(other, claimsOf({ iss: 'https://second.example' })), both)).toMatchObject({
      actor: { id: 'refunder' },
    })
    const listed = issuerOf([idp], { agent: { type: 'Agent', ids: { refunder: 'r' } } })
    expect(await ask(await forge(idp, claimsOf({ sub: 'mallory' })), [listed])).toBe('nobody')
    for (const iss of [`${ISS}/`, ISS.toUpperCase(), [ISS], undefined])
      expect(await ask(await forge(idp, claimsOf({ iss })))).toBe('unknown_issuer')
  })

  it('3.9 use and validate audience: a token for another one is none here', async () => {
    for (const aud of ['https://countersign.example/other', 'https://countersign.example', ISS, '*'])
      expect(await ask(await forge(idp, claimsOf({ aud })))).toBe('audience')
    for (const aud of [undefined, 1, {}])
      expect(await ask(await forge(idp, claimsOf({ aud })))).toBe('malformed_claims')
  })

  it('3.10 do not trust received claims: no URL of a token is fetched, no kid is looked up elsewhere', async () => {
    const asked: unknown[] = []
    const keysOf = async (_: Issuer, wanted?: unknown) => {
      if (wanted) asked.push(wanted)
      return 'unavailable' as const
    }
    for (const member of ['jku', 'x5u'])
      expect(
        await ask(await forge(idp, claimsOf(), { ...header, [member]: 'http://169.254.169.254/' }), [issuer], {
          keysOf,
        }),
      ).toBe('header')
    expect(asked).toEqual([])
    for (const kid of ["' OR 1=1 --", '../../etc/passwd', '__proto__'])
      expect(await ask(await forge(idp, claimsOf(), { alg: 'ES256', kid }))).toBe('unknown_key')
  })

  const types: Record<TokenKind, string> = {
    access: 'at+jwt',
    'id-jag': 'oauth-id-jag+jwt',
    'security-event': 'secevent+jwt',
    attestation: 'facts+jwt',
  }
  const kinds = Object.keys(types) as TokenKind[]
  const foreign = ['permit+jwt', 'approval+jwt', 'binding+jwt', 'link+jwt', 'dpop+jwt', 'logout+jwt', 'id_token']

  it('3.11 use explicit typing: what is signed for another purpose says so', async () => {
    for (const kind of kinds)
      for (const typ of foreign)
        expect(
          await verifyToken(await forge(idp, claimsOf(), { ...header, typ }), kind, [issuer], verification()),
        ).toBe('type')
  })

  it('3.12 use mutually exclusive validation rules: no kind of token passes for another', async () => {
    for (const kind of kinds)
      for (const [of, typ] of Object.entries(types)) {
        const token = await forge(idp, claimsOf(), { ...header, typ })
        const verified = await verifyToken(token, kind, [issuer], verification())
        expect(typeof verified === 'object', `${of} as ${kind}`).toBe(of === kind)
      }
    // Only an access token may leave its type out.
    const untyped = await forge(idp)
    for (const kind of kinds)
      expect(typeof (await verifyToken(untyped, kind, [issuer], verification())) === 'object').toBe(kind === 'access')
  })
})

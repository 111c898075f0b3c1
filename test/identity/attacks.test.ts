import fc from 'fast-check'
import { exportSPKI, importJWK } from 'jose'
import { describe, expect, it } from 'vitest'
import { contentHash } from '../../src/durable/hash.ts'
import { MAX_TOKEN } from '../../src/identity/bearer.ts'
import { authenticate, type Detail, type Verification } from '../../src/identity/verify.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import {
  b64,
  claimsOf,
  forge,
  hmac,
  ISS,
  issuerOf,
  NOW,
  type Pair,
  pair,
  rsaPair,
  seconds,
  TENANT,
  verification,
} from './tokens.ts'

const ed = await pair('EdDSA', 'ed')
const es = await pair('ES256', 'es')
const rs = await rsaPair(2048, 'rs')
const stranger = await pair('ES256', 'es')
const idp = issuerOf([ed, es])
const utf8 = new TextEncoder()

const ask = (
  token: string,
  issuers: readonly Issuer[] = [idp],
  changes: Partial<Verification> = {},
): ReturnType<typeof authenticate> =>
  authenticate(
    `Bearer ${token}`,
    issuers,
    // As in life, other issuers make another bundle.
    verification({ bundle: { seq: 1, hash: contentHash(issuers) }, ...changes }),
  )

const refused = (detail: Detail) => ({ ok: false, reason: 'invalid_token', detail })

/** The same claims, signed as they should be, are taken: so it is the attack that is refused. */
const taken = async (token: string, issuers?: readonly Issuer[]): Promise<void> =>
  expect(await ask(token, issuers)).toMatchObject({ ok: true, caller: { issuer: 'idp', roles: ['agent'] } })

describe('what is taken', () => {
  it('a token of each registered algorithm', async () => {
    const ps = await pair('PS256', 'ps')
    const ed25519 = await pair('Ed25519', 'ed25519')
    const all = issuerOf([ed, es, rs, ps, ed25519])
    for (const key of [ed, es, rs, ps, ed25519]) await taken(await forge(key), [all])
  })

  it('types absent, JWT and at+jwt, as media types are compared', async () => {
    for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt'])
      await taken(await forge(es, claimsOf(), { alg: 'ES256', kid: 'es', typ }))
  })

  it('no kid, where only one key is fit for the algorithm', async () => {
    await taken(await forge(es, claimsOf(), { alg: 'ES256' }))
    const other = await pair('ES256', 'es-2')
    expect(await ask(await forge(es, claimsOf(), { alg: 'ES256' }), [issuerOf([es, other])])).toEqual(
      refused('unknown_key'),
    )
  })

  it('an audience among several, and the audiences that the entry names in place of the identifier', async () => {
    await taken(await forge(es, claimsOf({ aud: ['https://other.example', TENANT] })))
    const named = issuerOf([es], { aud: ['api://countersign'] })
    await taken(await forge(es, claimsOf({ aud: 'api://countersign' })), [named])
    expect(await ask(await forge(es), [named])).toEqual(refused('audience'))
  })

  it('header members that choose nothing', () =>
    forge(es, claimsOf(), { alg: 'ES256', kid: 'es', x5t: 'abc', 'x5t#S256': 'abc', nonce: 'n', cty: 'x' }).then(taken))
})

describe('the Authorization header', () => {
  const asked = (authorization: string | undefined) => authenticate(authorization, [idp], verification())

  it('has a scheme of any case and exactly one token', async () => {
    const token = await forge(es)
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR'])
      expect(await asked(`${scheme} ${token}`)).toMatchObject({ ok: true })
    for (const header of [
      `Bearer ${token} ${token}`,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token},${token}`,
      `Bearer  ${token}`,
      `Bearer\t${token}`.replace('\t', ' \t'),
      `Bearer ${token} `,
      `Bearer ${token}\n`,
      `Bearer "${token}"`,
      'Bearer',
      'Bearer ',
      'Bearer undefined',
    ])
      expect(await asked(header), header).toEqual(refused('malformed'))
  })

  it('is no credential of ours under another scheme', async () => {
    const token = await forge(es)
    for (const header of [undefined, '', ' ', token, `Basic ${token}`, `Bearer\t${token}`, ` Bearer ${token}`])
      expect(await asked(header), header).toEqual({ ok: false, reason: 'unauthenticated', detail: 'no_token' })
  })

  it('is refused by its length before anything else', async () => {
    const filler = (length: number) => forge(es, claimsOf({ filler: 'x'.repeat(length) }))
    const base = (await filler(0)).length
    const largest = await filler(Math.floor(((MAX_TOKEN - base) * 3) / 4) - 3)
    expect(largest.length).toBeGreaterThan(MAX_TOKEN - 10)
    await taken(largest)
    expect(await ask(await filler(MAX_TOKEN))).toEqual(refused('oversized'))
    expect(await asked(`Bearer ${'a'.repeat(10_000_000)}`)).toEqual(refused('oversized'))
  })
})

describe('algorithm (RFC 8725, 2.1, 3.1, 3.2)', () => {
  it('none is refused in every spelling, with and without a signature', async () => {
    const signature = (await forge(es)).split('.')[2]
    for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
      const input = `${b64({ alg })}.${b64(claimsOf())}`
      expect(await ask(`${input}.`)).toEqual(refused('malformed'))
      expect(await ask(input)).toEqual(refused('malformed'))
      expect(await ask(`${input}.${signature}`)).toEqual(refused('algorithm'))
    }
  })

  it('HS256 is refused under every form of the public key', async () => {
    const pem = await exportSPKI(await publicKey(es))
    const der = bytes(pem.replace(/-----[A-Z ]+-----|\n/g, ''))
    const raw = new Uint8Array([4, ...bytes(String(es.public.x)), ...bytes(String(es.public.y))])
    const { kid: _, ...jwk } = es.public
    const secrets = [
      utf8.encode(pem),
      utf8.encode(pem.trim()),
      der,
      raw,
      utf8.encode(JSON.stringify(es.public)),
      utf8.encode(JSON.stringify(jwk)),
    ]
    for (const secret of secrets)
      for (const alg of ['HS256', 'ES256']) {
        const answer = await ask(await hmac(secret, { alg, kid: 'es' }))
        expect(answer).toEqual(refused(alg === 'HS256' ? 'algorithm' : 'signature'))
      }
  })

  it('one that the issuer has not registered is refused, though the key is in its set', async () => {
    const onlyEs = issuerOf([es], { jwks: { keys: [es.public, rs.public, ed.public] } })
    expect(await ask(await forge(rs), [onlyEs])).toEqual(refused('algorithm'))
    expect(await ask(await forge(ed), [onlyEs])).toEqual(refused('algorithm'))
    // Ed25519 and EdDSA sign alike, and are two names.
    expect(await ask(await forge(ed, claimsOf(), { alg: 'Ed25519', kid: 'ed' }))).toEqual(refused('algorithm'))
  })

  it('ones that nobody can register are refused', async () => {
    const es384 = await pair('ES384', 'es')
    expect(await ask(await forge(es384))).toEqual(refused('algorithm'))
    for (const alg of [
      'RS512',
      'RS384',
      'PS512',
      'ES512',
      'ES256K',
      'HS384',
      'HS512',
      'dir',
      'RSA-OAEP',
      'es256',
      ' ES256',
      'constructor',
      '__proto__',
      '',
    ])
      expect(await ask(await forge(es, claimsOf(), { alg, kid: 'es' })), alg).toEqual(refused('algorithm'))
    for (const alg of [undefined, null, 0, ['ES256'], { name: 'ES256' }])
      expect(await ask(await forge(es, claimsOf(), { alg, kid: 'es' }))).toEqual(refused('algorithm'))
  })

  it('a key is used for the algorithm that it is for', async () => {
    const both = issuerOf([ed, es])
    // The header names one key and the algorithm of another.
    expect(await ask(await forge(es, claimsOf(), { alg: 'ES256', kid: 'ed' }), [both])).toEqual(refused('unknown_key'))
    expect(await ask(await forge(es, claimsOf(), { alg: 'EdDSA', kid: 'es' }), [both])).toEqual(refused('unknown_key'))
    expect(await ask(await forge(es, claimsOf(), { alg: 'EdDSA', kid: 'ed' }), [both])).toEqual(refused('signature'))
    // PS256 signed with a key that states RS256.
    const rsOnly = issuerOf([rs], { algorithms: ['RS256', 'PS256'], jwks: { keys: [{ ...rs.public, alg: 'RS256' }] } })
    await taken(await forge(rs), [rsOnly])
    expect(await ask(await forge(rs, claimsOf(), { alg: 'PS256', kid: 'rs' }), [rsOnly])).toEqual(
      refused('unknown_key'),
    )
  })
})

describe('header (RFC 8725, 3.1, 3.5, 3.10, 3.11)', () => {
  it('members that would choose the key or change the reading are refused, not passed over', async () => {
    const members = {
      crit: ['exp'],
      b64: true,
      jwk: es.public,
      jku: 'https://idp.example/jwks.json',
      x5u: 'https://idp.example/cert.pem',
      x5c: ['MIIB'],
      enc: 'A256GCM',
      zip: 'DEF',
    }
    for (const [name, value] of Object.entries(members))
      for (const held of [value, null, false, '', [], {}])
        expect(await ask(await forge(es, claimsOf(), { alg: 'ES256', kid: 'es', [name]: held })), name).toEqual(
          refused('header'),
        )
  })

  it('a key that the token brings along is refused, whatever names it', async () => {
    const own: Pair = { ...stranger, kid: 'mine' }
    expect(await ask(await forge(own, claimsOf(), { alg: 'ES256', jwk: own.public }))).toEqual(refused('header'))
    expect(await ask(await forge(own))).toEqual(refused('unknown_key'))
    expect(await ask(await forge(stranger))).toEqual(refused('signature'))
  })

  it('a payload that is not base64url (RFC 7797) is refused', async () => {
    const header = { alg: 'ES256', kid: 'es', b64: false, crit: ['b64'] }
    expect(await ask(await forge(es, claimsOf(), header))).toEqual(refused('header'))
    const input = `${b64(header)}.${JSON.stringify(claimsOf())}`
    expect(await ask(`${input}.${b64('x')}`)).toEqual(refused('malformed'))
  })

  it('kid names a key of this issuer, as text', async () => {
    for (const kid of [
      '',
      'ES',
      'es ',
      '../es',
      "es' OR 1=1",
      '/dev/null',
      'constructor',
      '__proto__',
      'x'.repeat(2000),
    ])
      expect(await ask(await forge(es, claimsOf(), { alg: 'ES256', kid })), kid).toEqual(refused('unknown_key'))
    for (const kid of [null, 1, ['es'], { kid: 'es' }, true])
      expect(await ask(await forge(es, claimsOf(), { alg: 'ES256', kid }))).toEqual(refused('header'))
    const twice = issuerOf([es], { jwks: { keys: [es.public, stranger.public] } })
    expect(await ask(await forge(es), [twice])).toEqual(refused('unknown_key'))
  })

  it('another kind of signed token is not a caller’s: permits, proofs, events', async () => {
    for (const typ of [
      'permit+jwt',
      'Permit+JWT',
      'application/permit+jwt',
      'dpop+jwt',
      'secevent+jwt',
      'logout+jwt',
      'JOSE',
      'jwt ',
      '',
      'application/',
      'application/application/jwt',
      null,
      1,
      ['JWT'],
    ])
      expect(await ask(await forge(es, claimsOf(), { alg: 'ES256', kid: 'es', typ })), String(typ)).toEqual(
        refused('type'),
      )
  })
})

const genuineToken = await forge(es)

describe('signature', () => {
  const token = genuineToken
  const [header, payload, signature = ''] = token.split('.')

  it('is all there', async () => {
    await taken(token)
    expect(await ask(`${header}.${payload}.`)).toEqual(refused('malformed'))
    expect(await ask(`${header}.${payload}`)).toEqual(refused('malformed'))
    expect(await ask(`${token}.`)).toEqual(refused('malformed'))
    expect(await ask(`${token}.${signature}`)).toEqual(refused('malformed'))
    for (const length of [1, 31, 32, 63])
      expect(await ask(`${header}.${payload}.${b64(bytes(signature).slice(0, length))}`)).toEqual(refused('signature'))
    expect(await ask(`${header}.${payload}.${b64(new Uint8Array([...bytes(signature), 0]))}`)).toEqual(
      refused('signature'),
    )
  })

  it('of ES256 is r and s, neither DER nor zero', async () => {
    expect(await ask(`${header}.${payload}.${b64(der(bytes(signature)))}`)).toEqual(refused('signature'))
    for (const forged of [new Uint8Array(64), new Uint8Array(64).fill(255)])
      expect(await ask(`${header}.${payload}.${b64(forged)}`)).toEqual(refused('signature'))
    expect(await ask(`${b64({ alg: 'EdDSA', kid: 'ed' })}.${payload}.${b64(new Uint8Array(64))}`)).toEqual(
      refused('signature'),
    )
  })

  it('has one spelling: neither spare bits, nor padding, nor the other alphabet', async () => {
    // 64 bytes leave four spare bits in the last of 86 characters.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(signature.slice(-1))
    for (let bits = 0; bits < 16; bits++) {
      const spelled = `${header}.${payload}.${signature.slice(0, -1)}${alphabet[(last & 48) | bits]}`
      if (spelled === token) await taken(spelled)
      else expect(await ask(spelled)).toEqual(refused('malformed'))
    }
    expect(await ask(`${token}==`)).toEqual(refused('malformed'))
    const other = token.replaceAll('-', '+').replaceAll('_', '/')
    if (other !== token) expect(await ask(other)).toEqual(refused('malformed'))
  })

  it('covers every character of the token', async () => {
    const ofEd = await forge(ed)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(token, ofEd),
        fc.nat(),
        fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= %'),
        async (genuine, at, character) => {
          const index = at % genuine.length
          const changed = genuine.slice(0, index) + character + genuine.slice(index + 1)
          fc.pre(changed !== genuine)
          expect(await ask(changed)).toMatchObject({ ok: false, reason: 'invalid_token' })
        },
      ),
      { numRuns: 500 },
    )
  })

  it('does not move from one token to another', async () => {
    const [otherHeader, otherPayload] = (await forge(es, claimsOf({ roles: ['pep'] }))).split('.')
    expect(await ask(`${otherHeader}.${otherPayload}.${signature}`)).toEqual(refused('signature'))
  })
})

describe('encoding (RFC 8725, 2.6, 2.7)', () => {
  const good = JSON.stringify(claimsOf())

  it('no name stands twice, at any depth', async () => {
    await taken(await forge(es, good))
    for (const claims of [
      good.replace('{', '{"sub":"admin",'),
      good.replace('}', ',"sub":"admin"}'),
      good.replace('}', ',"s\\u0075b":"admin"}'),
      good.replace('}', ',"act":{"sub":"a","sub":"b"}}'),
      good.replace('}', ',"x":[{"y":{"z":1,"z":1}}]}'),
    ])
      expect(await ask(await forge(es, claims)), claims).toEqual(refused('malformed'))
    expect(await ask(await forge(es, good, '{"alg":"ES256","alg":"ES256","kid":"es"}'))).toEqual(refused('malformed'))
    expect(await ask(await forge(es, good, '{"alg":"none","kid":"es","alg":"ES256"}'))).toEqual(refused('malformed'))
  })

  it('text that looks like a member is none', () =>
    forge(es, claimsOf({ a: 'x', b: ':y', c: '"a":1,"a":2', d: ['"', ':"', '\\":', '\\'], e: { '":': '' } })).then(
      taken,
    ))

  it('both parts are JSON objects in UTF-8', async () => {
    for (const text of [
      '',
      'null',
      '[]',
      '"x"',
      '1',
      '{',
      `${good}x`,
      `${good}${good}`,
      `\uFEFF${good}`,
      "{'iss':'x'}",
      `${good.slice(0, -1)},}`,
      '{"a":NaN}',
    ]) {
      if (text !== '') expect(await ask(await forge(es, text)), text).toEqual(refused('malformed'))
      if (text !== '') expect(await ask(await forge(es, good, text)), text).toEqual(refused('malformed'))
    }
    const latin = new Uint8Array([...utf8.encode(good.slice(0, -1)), ...utf8.encode(',"x":"'), 0xff, 0x22, 0x7d])
    expect(await ask(await forge(es, latin))).toEqual(refused('malformed'))
    expect(await ask(await forge(es, ` \n${good}\t `))).toMatchObject({ ok: true })
  })

  it('depth costs nothing and breaks nothing', async () => {
    const deep = good.replace('}', `,"x":${'['.repeat(2500)}${']'.repeat(2500)}}`)
    expect(await ask(await forge(es, deep))).toMatchObject({ ok: true })
    const acts = good.replace('}', `,"act":${'{"act":'.repeat(600)}1${'}'.repeat(600)}}`)
    expect(await ask(await forge(es, acts))).toEqual(refused('malformed_claims'))
  })

  it('members with the names of inherited ones are members like others', async () => {
    const odd = good.replace('}', ',"__proto__":{"roles":["pep"],"act":{"sub":"x"}},"constructor":1,"toString":2}')
    expect(await ask(await forge(es, odd))).toMatchObject({ ok: true, caller: { roles: ['agent'] } })
    const header = '{"alg":"ES256","kid":"es","__proto__":{"typ":"permit+jwt"}}'
    expect(await ask(await forge(es, good, header))).toMatchObject({ ok: true })
    expect(await ask(await forge(es, good.replace('"iss"', '"__proto__":{"iss":"x"},"_"')))).toEqual(
      refused('unknown_issuer'),
    )
  })
})

describe('issuer and audience', () => {
  const other = issuerOf([es], { id: 'other', iss: 'https://other.example' })

  it('the issuer is one of this tenant’s, letter by letter', async () => {
    for (const iss of [
      'https://idp.example/',
      'https://IDP.example',
      'https://other.example',
      '',
      undefined,
      null,
      1,
      [ISS],
      { iss: ISS },
    ])
      expect(await ask(await forge(es, claimsOf({ iss })))).toEqual(refused('unknown_issuer'))
    expect(await ask(await forge(es), [])).toEqual(refused('unknown_issuer'))
  })

  it('an issuer’s key vouches for that issuer alone', async () => {
    const a = issuerOf([es])
    const b = issuerOf([ed], { id: 'b', iss: 'https://b.example' })
    expect(await ask(await forge(es, claimsOf({ iss: 'https://b.example' }), { alg: 'ES256' }), [a, b])).toEqual(
      refused('algorithm'),
    )
    const c = issuerOf([stranger], { id: 'c', iss: 'https://c.example' })
    expect(await ask(await forge(es, claimsOf({ iss: 'https://c.example' })), [a, c])).toEqual(refused('signature'))
  })

  it('an issuer of another tenant is unknown here', async () => {
    const token = await forge(es, claimsOf({ iss: other.iss, aud: [TENANT, 'https://countersign.example/globex'] }))
    expect(await ask(token, [other], { tenant: 'https://countersign.example/globex' })).toMatchObject({ ok: true })
    expect(await ask(token, [idp])).toEqual(refused('unknown_issuer'))
  })

  it('a token for one tenant is refused at another that trusts the same issuer, also once it is cached', async () => {
    const token = await forge(es)
    await taken(token)
    expect(await ask(token, [idp], { tenant: 'https://countersign.example/globex' })).toEqual(refused('audience'))
    await taken(token)
  })

  it('the audience is the tenant’s identifier, letter by letter', async () => {
    for (const aud of [
      `${TENANT}/`,
      TENANT.toUpperCase(),
      'https://countersign.example',
      'https://countersign.example/acme2',
      '*',
      '',
      'acme',
      [`${TENANT} `, 'x'],
    ])
      expect(await ask(await forge(es, claimsOf({ aud }))), String(aud)).toEqual(refused('audience'))
    for (const aud of [undefined, null, 1, {}, [], [1, TENANT], [[TENANT]], { 0: TENANT }, Array(40).fill(TENANT)])
      expect(await ask(await forge(es, claimsOf({ aud })))).toEqual(refused('malformed_claims'))
  })

  it('a development issuer exists only locally', async () => {
    const development = issuerOf([es], { development: true, roles: { allowed: ['agent'] } })
    const token = await forge(es, claimsOf({ roles: ['agent'], agent: { type: 'Agent', id: 'x' } }))
    expect(await ask(token, [development])).toEqual(refused('unknown_issuer'))
    expect(await ask(token, [development], { local: true })).toMatchObject({ ok: true })
    expect(await ask(token, [development])).toEqual(refused('unknown_issuer'))
  })
})

describe('times (skew 30 s, greatest age 3600 s)', () => {
  const at = async (claims: Record<string, unknown>, later = 0) =>
    ask(await forge(es, claimsOf(claims)), [idp], { now: NOW + later * 1000 })

  it('holds until exp and the skew', async () => {
    expect(await at({ exp: seconds }, 29.999)).toMatchObject({ ok: true })
    expect(await at({ exp: seconds }, 30)).toEqual(refused('expired'))
    expect(await at({ exp: 0 })).toEqual(refused('expired'))
  })

  it('holds from nbf less the skew', async () => {
    expect(await at({ nbf: seconds + 30 })).toMatchObject({ ok: true })
    expect(await at({ nbf: seconds + 30.001 })).toEqual(refused('not_yet_valid'))
  })

  it('holds for the greatest age, whatever exp says', async () => {
    const exp = seconds + 1e6
    expect(await at({ iat: seconds - 3630, exp })).toMatchObject({ ok: true })
    expect(await at({ iat: seconds - 3630.001, exp })).toEqual(refused('too_old'))
    expect(await at({ iat: 0, exp })).toEqual(refused('too_old'))
  })

  it('was not issued in the future', async () => {
    expect(await at({ iat: seconds + 30 })).toMatchObject({ ok: true })
    expect(await at({ iat: seconds + 30.001 })).toEqual(refused('issued_in_future'))
    expect(await at({ iat: 253_402_300_799, exp: 253_402_300_799 })).toEqual(refused('issued_in_future'))
  })

  it('takes fractions, and nothing that is not a date', async () => {
    expect(await at({ iat: seconds - 0.5, exp: seconds + 0.25, nbf: seconds - 1.5 })).toMatchObject({ ok: true })
    for (const name of ['iat', 'exp', 'nbf'])
      for (const value of [-1, '1800000000', null, true, [seconds], {}, 1e300, Number.MAX_SAFE_INTEGER])
        expect(await at({ [name]: value }), `${name} ${value}`).toEqual(refused('malformed_claims'))
    for (const name of ['iat', 'exp']) expect(await at({ [name]: undefined })).toEqual(refused('malformed_claims'))
    const infinite = JSON.stringify(claimsOf()).replace(`"exp":${seconds + 300}`, '"exp":1e999')
    expect(await ask(await forge(es, infinite))).toEqual(refused('malformed_claims'))
  })
})

describe('subject', () => {
  it('is a name', async () => {
    await taken(await forge(es, claimsOf({ sub: 'x'.repeat(256) })))
    await taken(await forge(es, claimsOf({ sub: '日本 👩‍🚀 "\\' })))
    for (const sub of [undefined, null, 1, '', {}, ['refunder'], true, 'x'.repeat(257)])
      expect(await ask(await forge(es, claimsOf({ sub })))).toEqual(refused('malformed_claims'))
    const lone = JSON.stringify(claimsOf()).replace('"refunder"', '"\\ud800"')
    expect(await ask(await forge(es, lone))).toEqual(refused('malformed_claims'))
  })
})

describe('what the token asks for and is not understood yet', () => {
  it('a bound token and a narrowed one are refused, not widened', async () => {
    expect(await ask(await forge(es, claimsOf({ cnf: { jkt: 'x' } })))).toEqual(refused('not_supported'))
    expect(await ask(await forge(es, claimsOf({ authorization_details: [] })))).toEqual(refused('not_supported'))
  })
})

describe('keys of an issuer', () => {
  it('RSA below 2048 bits vouches for nothing', async () => {
    const weak = await rsaPair(1024, 'weak')
    expect(await ask(await forge(weak), [issuerOf([weak])])).toEqual(refused('unknown_key'))
  })

  it('a malformed key vouches for nothing, and the others stand', async () => {
    const { x: _, ...withoutX } = es.public
    const { y, ...rest } = es.public
    const private_ = { ...es.public, d: y }
    for (const key of [
      {},
      { kty: 'EC' },
      { ...withoutX, kid: 'bad' },
      { ...rest, y: 'AAAA' },
      { ...rest, y: 'not base64url!' },
      { ...rest, y: rest.x },
      { ...es.public, crv: 'P-384' },
      { ...es.public, use: 'enc' },
      { ...es.public, key_ops: ['sign'] },
      { ...es.public, kid: 7 },
      private_,
      { kty: 'oct', k: 'AAAA', kid: 'es', alg: 'ES256' },
      { ...es.public, kty: 'RSA' },
    ]) {
      const issuer = issuerOf([es, ed], { jwks: { keys: [key, ed.public] } })
      expect(await ask(await forge(es), [issuer]), JSON.stringify(key)).toEqual(refused('unknown_key'))
      await taken(await forge(ed), [issuer])
    }
  })
})

it('every refusal of a token looks the same to its caller', async () => {
  const answers = await Promise.all([
    ask('x'),
    ask(await forge(stranger)),
    ask(await forge(es, claimsOf({ exp: 0 }))),
    ask(await forge(es, claimsOf({ aud: 'x' }))),
    ask(await forge(es, claimsOf({ iss: 'x' }))),
    ask(await forge(es, claimsOf(), { alg: 'ES256', kid: 'x' })),
    ask('x'.repeat(MAX_TOKEN + 1)),
  ])
  expect(new Set(answers.map(answer => (answer.ok ? '' : answer.detail))).size).toBe(answers.length)
  for (const answer of answers) {
    expect(Object.keys(answer)).toEqual(['ok', 'reason', 'detail'])
    expect(answer).toMatchObject({ ok: false, reason: 'invalid_token' })
  }
})

const publicKey = async (key: Pair): Promise<CryptoKey> => {
  const imported = await importJWK(key.public, key.alg, { extractable: true })
  if (!(imported instanceof CryptoKey)) throw new Error('not a key')
  return imported
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

/** The ASN.1 form of an ECDSA signature. */
const der = (signature: Uint8Array): Uint8Array => {
  const integer = (half: Uint8Array) => [2, 33, 0, ...half]
  const body = [...integer(signature.slice(0, 32)), ...integer(signature.slice(32))]
  return new Uint8Array([0x30, body.length, ...body])
}

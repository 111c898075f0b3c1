import { describe, expect, it } from 'vitest'
import { authenticate } from '../../src/identity/verify.ts'
import { claimsOf, forge, issuerOf, pair, seconds, TENANT, verification } from './tokens.ts'

const key = await pair('ES256', 'svid-1')
const sub = 'spiffe://prod.example/agents/refunder'
const issuer = issuerOf([key], {
  iss: 'https://spire.prod.example',
  spiffe: { trust_domain: 'prod.example' },
  agent: { type: 'Agent', ids: { [sub]: 'refunder' } },
  max_age: 600,
})
const other = issuerOf([await pair('ES256', 'other')], { id: 'other' })
const svid = { sub, aud: [TENANT], exp: seconds + 300 }

const ask = async (claims: unknown, header?: unknown, issuers = [other, issuer]) => {
  const result = await authenticate(`Bearer ${await forge(key, claims, header)}`, issuers, verification())
  return result.ok ? result.caller : result.detail
}

describe('a JWT-SVID', () => {
  it('names an agent by its SPIFFE ID, without `iss` and `iat`, under the types JWT and JOSE', async () => {
    const named = { issuer: 'idp', principals: { actor: { type: 'Agent', id: 'refunder' } } }
    expect(await ask(svid)).toMatchObject(named)
    for (const typ of ['JWT', 'JOSE'])
      expect(await ask(svid, { alg: 'ES256', kid: 'svid-1', typ })).toMatchObject(named)
    expect(await ask({ ...svid, iss: 'https://spire.prod.example', iat: seconds })).toMatchObject(named)
  })

  it.each([
    ['another trust domain', { ...svid, sub: 'spiffe://evil.example/agents/refunder' }, 'unknown_issuer'],
    ['a trust domain that only begins alike', { ...svid, sub: 'spiffe://prod.example.evil/a' }, 'unknown_issuer'],
    ['no path', { ...svid, sub: 'spiffe://prod.example/' }, 'spiffe_id'],
    ['a step back', { ...svid, sub: 'spiffe://prod.example/agents/../refunder' }, 'spiffe_id'],
    ['an empty segment', { ...svid, sub: 'spiffe://prod.example/agents//refunder' }, 'spiffe_id'],
    ['an escape', { ...svid, sub: 'spiffe://prod.example/agents/%72efunder' }, 'spiffe_id'],
    ['a subject that is no SPIFFE ID', { ...svid, iss: 'https://spire.prod.example', sub: 'refunder' }, 'spiffe_id'],
    ['another issuer’s name', { ...svid, iss: 'https://idp.example' }, 'unknown_key'],
    ['no audience', { sub, exp: svid.exp }, 'malformed_claims'],
    ['another audience', { ...svid, aud: ['spiffe://prod.example/db'] }, 'audience'],
    ['no expiry', { sub, aud: TENANT }, 'malformed_claims'],
    ['an expiry that is past', { ...svid, exp: seconds - 100 }, 'expired'],
    ['an expiry beyond the greatest age', { ...svid, exp: seconds + 700 }, 'issued_in_future'],
  ])('with %s is refused', async (_, claims, detail) => {
    expect(await ask(claims)).toBe(detail)
  })

  it('is judged by its own domain’s keys alone', async () => {
    const elsewhere = issuerOf([key], { id: 'elsewhere', iss: 'https://b', spiffe: { trust_domain: 'b.example' } })
    expect(await ask(svid, undefined, [elsewhere])).toBe('unknown_issuer')
    expect(await ask(claimsOf({ iss: 'https://b' }), undefined, [elsewhere])).toBe('spiffe_id')
  })
})

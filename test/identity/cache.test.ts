import { afterEach, expect, it, vi } from 'vitest'
import { authenticate } from '../../src/identity/verify.ts'
import { claimsOf, forge, issuerOf, NOW, pair, seconds, verification } from './tokens.ts'

const es = await pair('ES256', 'es')
const idp = issuerOf([es])
const header = async (claims = {}) => `Bearer ${await forge(es, claimsOf({ exp: seconds + 100, ...claims }))}`

const checks = vi.spyOn(crypto.subtle, 'verify')
afterEach(() => void checks.mockClear())

const refused = (detail: string) => ({ ok: false, reason: 'invalid_token', detail })

it('checks a signature once for each token and bundle', async () => {
  const [first, second] = [await header(), await header()]
  for (let i = 0; i < 5; i++) {
    expect(await authenticate(first, [idp], verification())).toMatchObject({ ok: true })
    expect(await authenticate(second, [idp], verification())).toMatchObject({ ok: true })
  }
  expect(checks).toHaveBeenCalledTimes(2)
  await authenticate(first, [idp], verification({ bundle: { seq: 2, hash: 'first' } }))
  await authenticate(first, [idp], verification({ bundle: { seq: 1, hash: 'other' } }))
  await authenticate(first, [idp], verification({ bundle: { seq: 1, hash: 'other' } }))
  expect(checks).toHaveBeenCalledTimes(4)
})

it('remembers no refusal: a token that was too early is taken once it is time', async () => {
  const token = await header({ nbf: seconds + 60, exp: seconds + 300 })
  expect(await authenticate(token, [idp], verification())).toEqual(refused('not_yet_valid'))
  expect(await authenticate(token, [idp], verification({ now: NOW + 60_000 }))).toMatchObject({ ok: true })
})

it('refuses a token that it took before, once it has expired', async () => {
  const token = await header()
  expect(await authenticate(token, [idp], verification())).toMatchObject({ ok: true })
  expect(await authenticate(token, [idp], verification({ now: NOW + 129_999 }))).toMatchObject({ ok: true })
  expect(await authenticate(token, [idp], verification({ now: NOW + 130_000 }))).toEqual(refused('expired'))
  expect(checks).toHaveBeenCalledTimes(1)
})

it('refuses a token that it took before, once it is too old, or the clock is set back', async () => {
  const token = await header({ exp: seconds + 1e6 })
  expect(await authenticate(token, [idp], verification())).toMatchObject({ ok: true })
  expect(await authenticate(token, [idp], verification({ now: NOW + 3_621_000 }))).toEqual(refused('too_old'))
  expect(await authenticate(token, [idp], verification({ now: NOW - 41_000 }))).toEqual(refused('issued_in_future'))
})

it('refuses a token that it took before, when the next bundle no longer has its issuer', async () => {
  const token = await header()
  expect(await authenticate(token, [idp], verification())).toMatchObject({ ok: true })
  const other = issuerOf([es], { iss: 'https://other.example' })
  expect(await authenticate(token, [other], verification({ bundle: { seq: 2, hash: 'second' } }))).toEqual(
    refused('unknown_issuer'),
  )
})

it('looks at issuer, key and audience again, even where the bundle is the same', async () => {
  const token = await header()
  expect(await authenticate(token, [idp], verification())).toMatchObject({ ok: true })
  expect(await authenticate(token, [], verification())).toEqual(refused('unknown_issuer'))
  const rotated = issuerOf([await pair('ES256', 'es')])
  expect(await authenticate(token, [rotated], verification())).toEqual(refused('unknown_key'))
  const renamed = issuerOf([es], { aud: ['elsewhere'] })
  expect(await authenticate(token, [renamed], verification())).toEqual(refused('audience'))
  const stricter = issuerOf([es], { max_age: 1, skew: 0 })
  expect(await authenticate(token, [stricter], verification())).toEqual(refused('too_old'))
  expect(await authenticate(token, [idp], verification())).toMatchObject({ ok: true })
  expect(checks).toHaveBeenCalledTimes(1)
})

it('does not take one tenant’s token for another’s', async () => {
  const aud = ['https://a.example', 'https://b.example']
  const token = await header({ aud })
  const b = issuerOf([es], { id: 'b', agent: { type: 'Bot' } })
  const asA = await authenticate(token, [idp], verification({ tenant: 'https://a.example' }))
  const asB = await authenticate(token, [b], verification({ tenant: 'https://b.example' }))
  expect(asA).toMatchObject({ ok: true, caller: { name: 'idp:refunder', principals: { actor: { type: 'Agent' } } } })
  expect(asB).toMatchObject({ ok: true, caller: { name: 'b:refunder', principals: { actor: { type: 'Bot' } } } })
})

it('answers calls that come at once, each for itself', async () => {
  const token = await header()
  const answers = await Promise.all(Array.from({ length: 50 }, () => authenticate(token, [idp], verification())))
  for (const answer of answers) expect(answer).toMatchObject({ ok: true })
})

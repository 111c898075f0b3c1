import { expect, it } from 'vitest'
import { checkIssuers } from '../../src/identity/check.ts'
import { issuerOf, pair } from './tokens.ts'

const key = await pair('ES256', 'a')
const { jwks: _, ...keyless } = issuerOf([key], { iss: 'https://idp.example' })

const problemsOf = async (...entries: Parameters<typeof checkIssuers>[0]) =>
  (await checkIssuers(entries, ['idp.example'])).map(({ pointer, problem }) => `${pointer} ${problem}`)

it('an issuer has its keys from one place, and one that the Worker may call', async () => {
  const uri = 'https://idp.example/keys'
  expect(await problemsOf({ ...keyless, jwks_uri: uri })).toEqual([])
  expect(await problemsOf({ ...keyless, discovery: 'openid' })).toEqual([])
  expect(await problemsOf({ ...keyless })).toEqual([expect.stringMatching(/^\/0 needs its keys from one of/)])
  expect(await problemsOf({ ...issuerOf([key]), jwks_uri: uri })).toEqual([
    expect.stringMatching(/^\/0 needs its keys/),
  ])
  for (const [url, problem] of [
    ['https://evil.example/keys', 'host that `outgoing` does not list'],
    ['http://idp.example/keys', 'not https'],
    ['https://10.0.0.1/keys', 'an IP address'],
    ['https://me@idp.example/keys', 'a user or password'],
  ] as const)
    expect(await problemsOf({ ...keyless, jwks_uri: url }), url).toEqual([expect.stringContaining(problem)])
  expect(await problemsOf({ ...keyless, iss: 'urn:idp', discovery: 'oauth' })).toEqual([
    expect.stringMatching(/^\/0\/discovery /),
  ])
})

it('an issuer says of itself and of others only what can be', async () => {
  const plain = issuerOf([key])
  const { agent: _a, user: _u, ...nobody } = plain
  const none = { ...plain.roles, allowed: [], default: [] }
  expect(await problemsOf({ ...plain, id: 'countersign' })).toEqual([expect.stringMatching(/^\/0\/id /)])
  expect(await problemsOf({ ...nobody, roles: none, id_jag: true })).toEqual([expect.stringMatching(/^\/0\/id_jag /)])
  expect(await problemsOf({ ...plain, events: { about: ['idp', 'gone'] } })).toEqual([
    '/0/events/about names gone, and there is no such issuer',
  ])
  const spiffe = { trust_domain: 'prod.example' }
  const twice = [
    { ...nobody, roles: none, spiffe },
    { ...nobody, roles: none, spiffe, id: 'b', iss: 'https://b.example' },
  ]
  expect(await problemsOf(...twice)).toEqual([
    expect.stringMatching(/^\/0\/spiffe/),
    expect.stringMatching(/^\/1\/spiffe/),
  ])
})

import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { identifierOf, placeOf } from '../../src/http/tenant.ts'
import { TenantName } from '../../src/policy/tenant.ts'

const env = { ORIGIN: 'https://pdp.example.com', DEFAULT_TENANT: 'acme' }
const at = (path: string) => placeOf(`https://pdp.example.com${path}`, env)

describe('the URL alone says which tenant is meant', () => {
  it.each([
    ['/access/v1/evaluation', 'acme', '/access/v1/evaluation'],
    ['/v1/receipts', 'acme', '/v1/receipts'],
    ['/.well-known/jwks.json', 'acme', '/.well-known/jwks.json'],
    ['/.well-known/authzen-configuration', 'acme', '/.well-known/authzen-configuration'],
    ['/openapi.json', 'acme', '/openapi.json'],
    ['/healthz', 'acme', '/healthz'],
    ['/', 'acme', '/'],
    ['/beta/access/v1/evaluation', 'beta', '/access/v1/evaluation'],
    ['/acme/access/v1/evaluation', 'acme', '/access/v1/evaluation'],
    ['/beta/.well-known/jwks.json', 'beta', '/.well-known/jwks.json'],
    ['/.well-known/authzen-configuration/beta', 'beta', '/.well-known/authzen-configuration'],
    ['/beta', 'beta', '/'],
    ['/beta/', 'beta', '/'],
    ['/beta/access/v1/evaluation?tenant=acme', 'beta', '/access/v1/evaluation'],
    ['/acme/../beta/access/v1/evaluation', 'beta', '/access/v1/evaluation'],
    ['/acme/beta/access/v1/evaluation', 'acme', '/beta/access/v1/evaluation'],
  ])('%s', (path, tenant, rest) => {
    expect(at(path)).toMatchObject({ tenant, path: rest })
  })

  it.each([
    '/Beta/access/v1/evaluation',
    '/be_ta/access/v1/evaluation',
    '/-beta/access/v1/evaluation',
    '/beta-/access/v1/evaluation',
    '/b%65ta/access/v1/evaluation',
    '/beta%2faccess/v1/evaluation',
    `/${'b'.repeat(64)}/access/v1/evaluation`,
    '/%00/access/v1/evaluation',
    '/.well-known/authzen-configuration/',
    '/.well-known/authzen-configuration/beta/more',
    '/.well-known/authzen-configuration/Beta',
    '/.well-known/authzen-configuration/b%65ta',
  ])('%s names none', path => {
    expect(at(path)).toBeUndefined()
  })

  it.each(['access', 'v1', 'openapi.json', 'healthz'])('no tenant hides behind the root path /%s', name => {
    // Its own metadata would send callers to the configured tenant.
    expect(at(`/.well-known/authzen-configuration/${name}`)).toBeUndefined()
  })

  it('what the metadata names as its base leads back to the same tenant', () => {
    for (const path of ['/.well-known/authzen-configuration', '/.well-known/authzen-configuration/beta', '/beta/x']) {
      const place = at(path)
      expect(placeOf(`${place?.base}/access/v1/evaluation`, env)).toMatchObject({
        tenant: place?.tenant,
        path: '/access/v1/evaluation',
      })
    }
  })

  it('no two names of tenants share a place, whatever follows', () => {
    const name = fc
      .string({ unit: fc.constantFrom(...'abcxyz0189-'), minLength: 1, maxLength: 20 })
      .filter(text => v.is(TenantName, text))
    fc.assert(
      fc.property(name, fc.webPath(), (tenant, path) => {
        const place = at(`/${tenant}${path}`)
        // A browser's own reading of dots may lead out of the tenant; then it is no longer in the URL.
        const seen = new URL(`${env.ORIGIN}/${tenant}${path}`).pathname
        if (seen.startsWith(`/${tenant}/`)) expect(place).toMatchObject({ tenant, path: seen.slice(tenant.length + 1) })
      }),
    )
  })

  it('any URL has at most a well-formed tenant, and a path that begins with a slash', () => {
    const path = fc.oneof(
      fc.webPath(),
      fc
        .array(
          fc.constantFrom(
            '/',
            '.',
            '..',
            '%2e',
            '%2f',
            'acme',
            'access',
            '.well-known',
            'authzen-configuration',
            '\\',
            '?',
            '#',
            '@',
            '%00',
          ),
          { maxLength: 8 },
        )
        .map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(path, text => {
        const place = at(`/${text}`)
        if (!place) return
        expect(v.is(TenantName, place.tenant)).toBe(true)
        expect(place.path.startsWith('/')).toBe(true)
        expect([env.ORIGIN, identifierOf(place.tenant, env)]).toContain(place.base)
      }),
    )
  })
})

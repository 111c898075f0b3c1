import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkIssuers } from '../../src/identity/check.ts'
import { conflicts } from '../../src/identity/injective.ts'
import { mapName } from '../../src/identity/mapping.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import { issuerOf, pair, rsaPair } from './tokens.ts'

type Rule = { type?: string; prefix?: string; ids?: Record<string, string> }

/** Issuers `0`, `1`, … with these rules. */
const issuers = (...entries: { agent?: Rule; user?: Rule; iss?: string; id?: string }[]): Issuer[] =>
  entries.map(({ agent, user, ...entry }, index) =>
    issuerOf([], {
      algorithms: ['ES256'],
      jwks: { keys: [{}] },
      iss: `https://${index}.example`,
      id: `${index}`,
      ...entry,
      agent: agent && { type: 'Agent', ...agent },
      user: user && { type: 'User', ...user },
    }),
  )

const pointers = (list: Issuer[]) => conflicts(list).map(conflict => conflict.pointers.join(' '))

describe('conflicts', () => {
  it('prefixes of one type must not begin with one another', () => {
    expect(pointers(issuers({ agent: { prefix: 'a/' } }, { agent: { prefix: 'b/' } }))).toEqual([])
    expect(pointers(issuers({ agent: { prefix: 'a' } }, { agent: { prefix: 'ab' } }))).toEqual(['/0/agent /1/agent'])
    expect(pointers(issuers({ agent: { prefix: 'a' } }, { agent: { prefix: 'a' } }))).toEqual(['/0/agent /1/agent'])
    expect(pointers(issuers({ agent: {} }, { agent: { prefix: 'z' } }))).toEqual(['/0/agent /1/agent'])
    expect(pointers(issuers({ agent: {} }, { agent: { type: 'Bot' } }))).toEqual([])
    expect(pointers(issuers({ agent: {} }, { user: { type: 'Agent', prefix: 'u/' } }))).toEqual(['/0/agent /1/user'])
  })

  it('lists of ids must not share one', () => {
    expect(pointers(issuers({ agent: { ids: { a: 'x' } } }, { agent: { ids: { a: 'y' } } }))).toEqual([])
    expect(pointers(issuers({ agent: { ids: { a: 'x' } } }, { agent: { ids: { b: 'x' } } }))).toEqual([
      '/0/agent /1/agent',
    ])
    expect(pointers(issuers({ agent: { ids: { a: 'x' } } }, { agent: { ids: { a: 'x' } } }))).toEqual([
      '/0/agent /1/agent',
    ])
    expect(pointers(issuers({ agent: { ids: { a: 'x', b: 'x' } } }))).toEqual(['/0/agent /0/agent'])
  })

  it('no id may begin with a prefix', () => {
    expect(pointers(issuers({ agent: { ids: { a: 'p/x' } } }, { agent: { prefix: 'p/' } }))).toEqual([
      '/0/agent /1/agent',
    ])
    expect(pointers(issuers({ agent: { prefix: 'p/' } }, { agent: { ids: { a: 'q/x' } } }))).toEqual([])
  })

  it('inside one issuer both rules read one list of subjects', () => {
    const both = (agent: Rule, user: Rule) => pointers(issuers({ agent, user: { type: 'Agent', ...user } }))
    expect(both({ prefix: 'p/' }, { prefix: 'p/' })).toEqual([])
    expect(both({ prefix: 'p/' }, { prefix: 'p/q' })).toEqual(['/0/agent /0/user'])
    expect(both({ ids: { a: 'x' } }, { ids: { a: 'x', b: 'y' } })).toEqual([])
    expect(both({ ids: { a: 'x' } }, { ids: { b: 'x' } })).toEqual(['/0/agent /0/user'])
    expect(both({ ids: { a: 'p/a' } }, { prefix: 'p/' })).toEqual([])
    expect(both({ ids: { a: 'p/b' } }, { prefix: 'p/' })).toEqual(['/0/agent /0/user'])
  })

  it('iss and id stand once', () => {
    expect(pointers(issuers({ iss: 'https://x' }, { iss: 'https://x' }))).toEqual(['/0/iss /1/iss'])
    expect(pointers(issuers({ id: 'x' }, {}, { id: 'x' }))).toEqual(['/0/id /2/id'])
  })
})

it('different subjects never get one UID from issuers without conflicts', () => {
  const letters = ['a', 'b', '/']
  // Few and short texts, so that collisions are near at hand.
  const text = (minLength: number) => fc.string({ unit: fc.constantFrom(...letters), minLength, maxLength: 3 })
  const rule = fc.oneof(
    fc.record({ type: fc.constantFrom('A', 'U'), prefix: text(0) }),
    fc.record({ type: fc.constantFrom('A', 'U'), ids: fc.dictionary(text(1), text(0), { maxKeys: 3 }) }),
  )
  const entry = fc.record({ agent: fc.option(rule, { nil: undefined }), user: fc.option(rule, { nil: undefined }) })
  const words = (length: number): string[] =>
    length === 0 ? [''] : letters.flatMap(first => words(length - 1).map(rest => first + rest))
  const subjects = [1, 2, 3].flatMap(words)
  let clean = 0
  let unclean = 0
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 3 }), entries => {
      const list = issuers(...entries.map(({ agent, user }) => ({ ...(agent && { agent }), ...(user && { user }) })))
      const owner = new Map<string, string>()
      let collided = false
      for (const issuer of list)
        for (const sub of subjects)
          for (const given of [issuer.agent, issuer.user]) {
            const uid = given && mapName(given, sub)
            if (!uid) continue
            const key = JSON.stringify([uid.type, uid.id])
            const who = JSON.stringify([issuer.iss, sub])
            if ((owner.get(key) ?? who) !== who) collided = true
            owner.set(key, who)
          }
      if (conflicts(list).length > 0) unclean++
      else {
        clean++
        expect(collided).toBe(false)
      }
    }),
    { numRuns: 2000 },
  )
  expect(clean).toBeGreaterThan(200)
  expect(unclean).toBeGreaterThan(200)
})

describe('the check of issuers', () => {
  it('passes what is sound', async () => {
    const [es, ed] = [await pair('ES256', 'es'), await pair('EdDSA', 'ed')]
    expect(await checkIssuers([issuerOf([es, ed])])).toEqual([])
  })

  it('points to what is wrong', async () => {
    const [es, weak] = [await pair('ES256', 'es'), await rsaPair(1024, 'weak')]
    const faulty = issuerOf([es, weak], {
      jwks: { keys: [es.public, weak.public, es.public, { ...es.public, d: 'AAAA' }, { kty: 'EC' }] },
      roles: { allowed: ['agent', 'pep'], default: ['admin'] },
      agent: undefined,
      user: { type: 'User', prefix: 'u/', ids: { a: 'b' } },
    })
    expect((await checkIssuers([faulty, faulty])).map(({ pointer }) => pointer)).toEqual([
      ...['0', '1'].flatMap(n => [
        `/${n}/jwks/keys/1`,
        `/${n}/jwks/keys/2`,
        `/${n}/jwks/keys/3`,
        `/${n}/jwks/keys/4`,
        `/${n}/roles/default`,
        `/${n}/roles/allowed`,
        `/${n}/user`,
        `/${n}/user/prefix`,
      ]),
      '/1/iss',
      '/1/id',
      '/1/user',
    ])
  })

  it('finds keys that no registered algorithm uses, and keys that no token could choose between', async () => {
    const [es, ed, other] = [await pair('ES256', 'es'), await pair('EdDSA', 'ed'), await pair('ES256', 'es')]
    expect(await checkIssuers([issuerOf([es], { jwks: { keys: [es.public, ed.public] } })])).toMatchObject([
      { pointer: '/0/jwks/keys/1' },
    ])
    expect(await checkIssuers([issuerOf([es, other])])).toMatchObject([{ pointer: '/0/jwks/keys/1' }])
  })
})

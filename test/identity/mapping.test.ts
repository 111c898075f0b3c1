import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { Claims } from '../../src/identity/claims.ts'
import { callerOf, MAX_ACTORS } from '../../src/identity/mapping.ts'
import { requireRole } from '../../src/identity/roles.ts'
import type { Issuer } from '../../src/policy/tenant.ts'
import { claimsOf, ISS, issuerOf } from './tokens.ts'

type Changes = NonNullable<Parameters<typeof issuerOf>[1]>

const entry = (changes: Changes = {}): Issuer =>
  issuerOf([], { algorithms: ['ES256'], jwks: { keys: [{}] }, ...changes })

const read = (claims: Record<string, unknown>, changes: Changes = {}) =>
  callerOf(v.parse(Claims, claimsOf(claims)), entry(changes))

const agent = (id: string) => ({ type: 'Agent', id: `idp/${id}` })
const user = (id: string) => ({ type: 'User', id })

/** `act` claims, who acts first. */
const act = (...subs: unknown[]): unknown =>
  subs.reduceRight((inner, sub) => ({ sub, ...(inner !== undefined && { act: inner }) }), undefined as unknown)

describe('who acts, and for whom (RFC 8693, 4.1)', () => {
  it('the subject, for nobody, where there is no act', () =>
    expect(read({})).toEqual({
      name: 'idp:refunder',
      issuer: 'idp',
      roles: ['agent'],
      principals: { actor: agent('refunder'), chain: [] },
      admitted: false,
      userAdmitted: false,
      groups: [],
      lineage: { keys: ['Agent::"idp/refunder"'], since: 1_799_999_990_000 },
    }))

  it('the outermost act for the subject; the ones inside delegated, nearest first', () => {
    expect(read({ sub: 'alice', act: act('refunder') })).toMatchObject({
      name: 'idp:refunder/alice',
      principals: { actor: agent('refunder'), chain: [], user: user('alice') },
    })
    expect(read({ sub: 'alice', act: act('a', 'b', 'c') })).toMatchObject({
      name: 'idp:a/b/c/alice',
      principals: { actor: agent('a'), chain: [agent('b'), agent('c')], user: user('alice') },
    })
  })

  it(`at most ${MAX_ACTORS} actors`, () => {
    const names = Array.from({ length: MAX_ACTORS }, (_, i) => `a${i}`)
    expect(read({ act: act(...names) })).toMatchObject({ principals: { chain: names.slice(1).map(agent) } })
    expect(read({ act: act(...names, 'one more') })).toBe('too_many_actors')
  })

  it('every actor is a name of this issuer', () => {
    expect(read({ act: { sub: 'a', iss: ISS, exp: 'ignored' } })).toMatchObject({ principals: { actor: agent('a') } })
    expect(read({ act: { sub: 'a', iss: 'https://other.example' } })).toBe('foreign_actor')
    expect(read({ act: { sub: 'a', act: { sub: 'b', iss: 'https://other.example' } } })).toBe('foreign_actor')
    for (const wrong of [
      null,
      'a',
      1,
      [],
      [{ sub: 'a' }],
      {},
      { sub: '' },
      { sub: 1 },
      { sub: 'a', iss: 1 },
      { sub: 'a', act: null },
      { sub: 'a', act: {} },
    ])
      expect(read({ act: wrong })).toBe('malformed_claims')
  })

  it('a user or a delegating agent without an entity refuses the token, an actor without one is unknown', () => {
    const ids = { refunder: 'R' }
    expect(read({ act: act('refunder') }, { user: undefined })).toBe('unmapped')
    expect(read({ sub: 'alice', act: act('refunder') }, { user: { type: 'User', ids: { bob: 'bob' } } })).toBe(
      'unmapped',
    )
    expect(read({ act: act('refunder', 'planner') }, { agent: { type: 'Agent', ids } })).toBe('unmapped')
    expect(read({ act: act('planner', 'refunder') }, { agent: { type: 'Agent', ids } })).not.toHaveProperty(
      'principals',
    )
    expect(read({ sub: 'planner' }, { agent: { type: 'Agent', ids } })).toMatchObject({ roles: ['agent'] })
    expect(read({ sub: 'planner' }, { agent: { type: 'Agent', ids } })).not.toHaveProperty('principals')
  })

  it('a caller without the agent role has no principals, and its act must still be sound', () => {
    const pep = { roles: { allowed: ['pep' as const], default: ['pep' as const] } }
    expect(read({}, pep)).not.toHaveProperty('principals')
    expect(read({ act: act('gateway') }, { ...pep, user: undefined })).toMatchObject({ name: 'idp:gateway/refunder' })
    expect(read({ act: {} }, pep)).toBe('malformed_claims')
  })
})

describe('rules', () => {
  it('ids map exactly their own entries, never what every object inherits', () => {
    const ids = { alice: 'A' }
    expect(read({ sub: 'alice' }, { agent: { type: 'Agent', ids } })).toMatchObject({
      principals: { actor: { type: 'Agent', id: 'A' } },
    })
    for (const sub of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'Alice'])
      expect(read({ sub }, { agent: { type: 'Agent', ids } })).not.toHaveProperty('principals')
  })

  it('say whom they admit', () => {
    expect(read({}, { agent: { type: 'Agent', admit: 'all' } })).toMatchObject({ admitted: true, userAdmitted: false })
    expect(read({}, { user: { type: 'User', admit: 'all' } })).toMatchObject({ admitted: false, userAdmitted: true })
  })
})

describe('roles', () => {
  const roles = (claims: Record<string, unknown>, rule: NonNullable<Changes['roles']>) => {
    const caller = read(claims, { roles: rule })
    return typeof caller === 'string' ? caller : caller.roles
  }

  it('are those that are both claimed and allowed', () => {
    const rule = { allowed: ['agent' as const, 'auditor' as const], default: ['agent' as const] }
    expect(roles({ roles: 'auditor' }, rule)).toEqual(['auditor'])
    expect(roles({ roles: ['auditor', 'admin', 'agent', 'root', 'agent'] }, rule)).toEqual(['agent', 'auditor'])
    expect(roles({ roles: ['admin'] }, rule)).toEqual([])
    expect(roles({ roles: [] }, rule)).toEqual([])
    expect(roles({ roles: 'agent auditor' }, rule)).toEqual([])
    expect(roles({}, rule)).toEqual(['agent'])
    expect(roles({}, { allowed: ['agent'] })).toEqual([])
    expect(roles({}, { allowed: ['agent'], default: ['admin'] })).toEqual([])
  })

  it('stand in the claim that the entry names', () => {
    const rule = { allowed: ['admin' as const], claim: 'https://countersign.example/roles' }
    expect(roles({ 'https://countersign.example/roles': ['admin'], roles: ['agent'] }, rule)).toEqual(['admin'])
    expect(roles({ roles: ['admin'] }, { ...rule, claim: 'constructor' })).toEqual([])
  })

  it('of another shape refuse the token and never fall back', () => {
    for (const wrong of [null, 1, {}, [1], ['agent', null], [['agent']], true])
      expect(roles({ roles: wrong }, { allowed: ['agent'], default: ['agent'] })).toBe('malformed_claims')
  })

  it('are asked for by name', () => {
    expect(requireRole({ roles: ['pep'] }, 'admin', 'pep')).toBeUndefined()
    expect(requireRole({ roles: ['pep'] }, 'admin')).toBe('forbidden_role')
    expect(requireRole({ roles: [] }, 'admin')).toBe('forbidden_role')
    expect(requireRole({ roles: ['admin'] })).toBe('forbidden_role')
  })
})

describe('groups and session', () => {
  const rule = { groups: { type: 'AgentGroup', allowed: ['support', 'finance'] }, session: {} }

  it('take only the listed groups', () => {
    expect(read({ groups: ['finance', 'root', 'finance'] }, rule)).toMatchObject({
      groups: [{ type: 'AgentGroup', id: 'finance' }],
    })
    expect(read({ groups: 'support' }, rule)).toMatchObject({ groups: [{ type: 'AgentGroup', id: 'support' }] })
    expect(read({ groups: ['support'] })).toMatchObject({ groups: [] })
    expect(read({}, rule)).toMatchObject({ groups: [] })
  })

  it('take a session of the named claim, where the entry asks for one', () => {
    expect(read({ sid: 's-1' }, rule)).toMatchObject({ session: 's-1' })
    expect(read({ sid: 's-1' })).not.toHaveProperty('session')
    expect(read({ task: 't', sid: 's' }, { session: { claim: 'task' } })).toMatchObject({ session: 't' })
  })

  it('of another shape refuse the token: a group that is missing could be the one that is forbidden', () => {
    for (const wrong of [null, 1, {}, [1], ['support', {}]])
      expect(read({ groups: wrong }, rule)).toBe('malformed_claims')
    for (const wrong of [null, 1, '', {}, ['s'], 'x'.repeat(257), '\ud800'])
      expect(read({ sid: wrong }, rule)).toBe('malformed_claims')
  })
})

describe('names of callers', () => {
  const name = (claims: Record<string, unknown>) => {
    const caller = read(claims)
    return typeof caller === 'string' ? caller : caller.name
  }

  it('differ where the parts differ', () => {
    const names = [
      name({ sub: 'a/b' }),
      name({ sub: 'b', act: act('a') }),
      name({ sub: 'a%2Fb' }),
      name({ sub: 'c', act: act('a/b') }),
      name({ sub: 'c', act: act('a', 'b') }),
      name({ sub: 'b/c', act: act('a') }),
    ]
    expect(new Set(names).size).toBe(names.length)
  })

  it('stay on one line', () => expect(name({ sub: 'a\nb\u0000' })).toBe('idp:a%0Ab%00'))
})

describe('the development issuer', () => {
  const development: Changes = { id: 'local', development: true, roles: { allowed: ['agent', 'pep', 'admin'] } }
  const A = { type: 'Agent', id: 'a' }
  const B = { type: 'NS::Agent', id: 'b"\\' }

  it('names entities outright', () => {
    const claims = {
      sub: 'dev',
      roles: ['agent', 'root'],
      agent: A,
      chain: [B],
      user: user('u'),
      groups: [{ type: 'AgentGroup', id: 'g' }],
      sid: 's',
    }
    expect(read(claims, development)).toEqual({
      name: 'local:dev/agent=Agent::"a"/by=NS::Agent::"b\\"\\\\"/for=User::"u"',
      issuer: 'local',
      roles: ['agent'],
      principals: { actor: A, chain: [B], user: user('u') },
      admitted: false,
      userAdmitted: false,
      groups: [{ type: 'AgentGroup', id: 'g' }],
      lineage: { keys: ['Agent::"a"', 'NS::Agent::"b\\"\\\\"', 'User::"u"'], since: 1_799_999_990_000 },
      session: 's',
    })
    expect(read({ roles: ['agent'], agent: A, admit: true }, development)).toMatchObject({
      admitted: true,
      userAdmitted: true,
    })
    expect(read({ roles: ['admin'], agent: A }, development)).not.toHaveProperty('principals')
    expect(read({ roles: ['agent'] }, development)).not.toHaveProperty('principals')
  })

  it('has exactly its own claims', () => {
    for (const wrong of [
      {},
      { roles: 'agent' },
      { roles: [], act: act('x') },
      { roles: [], agent: 'Agent::"a"' },
      { roles: [], agent: { ...A, x: 1 } },
      { roles: [], agent: { type: 'not a type', id: 'a' } },
      { roles: [], agent: { type: 'Agent', id: '' } },
      { roles: [], chain: Array(9).fill(A) },
      { roles: [], scope: 'x' },
    ])
      expect(read(wrong, development)).toBe('malformed_claims')
  })
})

import { expect, it } from 'vitest'
import { conflicts } from '../../src/identity/injective.ts'
import { authenticate } from '../../src/identity/verify.ts'
import { claimsOf, forge, issuerOf, pair, verification } from './tokens.ts'

const key = await pair('EdDSA', 'people')
const people = issuerOf([key], {
  id: 'people',
  agent: undefined,
  user: undefined,
  roles: { allowed: ['approver', 'auditor'], default: ['approver'] },
  approver: { type: 'User' },
})

const callerOf = async (claims: Record<string, unknown>, issuer = people, seq = 1) => {
  const bundle = { seq, hash: `bundle ${seq}` }
  const result = await authenticate(`Bearer ${await forge(key, claimsOf(claims))}`, [issuer], verification({ bundle }))
  return result.ok ? result.caller : result
}

it('a rule says which person a token with the role approver is', async () => {
  expect(await callerOf({ sub: 'eva' })).toMatchObject({ roles: ['approver'], approver: { type: 'User', id: 'eva' } })
})

it('what acts for a person is not that person', async () => {
  const caller = await callerOf({ sub: 'eva', act: { sub: 'bot' } })
  expect(caller).not.toHaveProperty('approver')
})

it('without the role, and without a rule, there is nobody', async () => {
  expect(await callerOf({ sub: 'eva', roles: ['auditor'] })).not.toHaveProperty('approver')
  const { approver: _, ...ruleless } = people
  expect(await callerOf({ sub: 'eva' }, ruleless, 2)).not.toHaveProperty('approver')
})

it('a person may be one whom agents act for; two people of two issuers are never one', () => {
  const agents = issuerOf([key], { id: 'agents', iss: 'https://agents.example', user: { type: 'User' } })
  expect(conflicts([agents, people])).toEqual([])
  const more = { ...people, id: 'more', iss: 'https://more.example' }
  expect(conflicts([people, more])).toHaveLength(1)
})

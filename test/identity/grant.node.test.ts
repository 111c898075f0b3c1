import { describe, expect, it } from 'vitest'
import { compile } from '../../src/cli/compile.ts'
import { grantLegs } from '../../src/decision/grant-legs.ts'
import { what } from '../../src/decision/what.ts'
import { readGrants } from '../../src/identity/grant.ts'
import { grantProblems } from '../../src/identity/grant-policy.ts'
import { loadBundle } from '../../src/policy/load.ts'

const { bundle: written } = await compile('test/fixtures/desk')
if (!written) throw new Error('the fixture has errors')
const loaded = loadBundle(written, { tenant: written.settings.tenant, seq: 1, hash: 'h', local: true })
if (!loaded.ok) throw new Error(loaded.problem)
const { bundle } = loaded
const NOW = 1_800_000_000_000
const actor = { type: 'Agent', id: 'clerk' }

/** Whether a grant of these members permits a refund with these arguments. */
const permits = (
  members: Record<string, unknown>,
  properties: Record<string, unknown>,
  id = '7',
  action = 'refund',
) => {
  const grants = readGrants([{ type: 'countersign_grant', actions: ['refund'], ...members }], { counted: true })
  if (!grants) throw new Error('not a grant')
  const ask = { subject: actor, action: { name: action, properties }, resource: { type: 'Order', id } }
  const who = { principals: { actor, chain: [] }, groups: [], grants, asserts: false }
  const read = what(ask, who, bundle, { now: NOW })
  if ('reason' in read) throw new Error(read.reason)
  const [leg] = grantLegs(grants, actor, read, bundle.schema, NOW)
  return (leg?.permits.length ?? 0) > 0
}

describe('a condition on an argument', () => {
  it.each([
    [{ amount: { eq: 5 } }, { amount: 5 }, { amount: 6 }],
    [{ amount: { in: [5, 7] } }, { amount: 7 }, { amount: 6 }],
    [{ amount: { lt: 5 } }, { amount: 4 }, { amount: 5 }],
    [{ amount: { lte: 5 } }, { amount: 5 }, { amount: 6 }],
    [{ amount: { gt: 5 } }, { amount: 6 }, { amount: 5 }],
    [{ amount: { gte: 5 } }, { amount: 5 }, { amount: 4 }],
    [{ amount: { gte: 1, lte: 5 } }, { amount: 3 }, { amount: 6 }],
    [{ rate: { lte: '0.5' } }, { amount: 1, rate: 0.5 }, { amount: 1, rate: '0.5001' }],
    [{ rate: { gt: 0.25 } }, { amount: 1, rate: 0.3 }, { amount: 1, rate: 0.25 }],
    [{ since: { gte: '2026-01-01' } }, { amount: 1, since: '2026-01-02' }, { amount: 1, since: '2025-12-31' }],
    [{ tags: { within: ['a', 'b'] } }, { amount: 1, tags: ['a'] }, { amount: 1, tags: ['a', 'c'] }],
    [
      { ticket: { eq: { type: 'Order', id: 't' } } },
      { amount: 1, ticket: { type: 'Order', id: 't' } },
      { amount: 1, ticket: { type: 'Order', id: 'u' } },
    ],
    // An optional argument that isn't there satisfies no condition on it.
    [{ rate: { gte: 0 } }, { amount: 1, rate: 0.1 }, { amount: 1 }],
  ])('%j permits %j and not %j', (conditions, inside, outside) => {
    expect(permits({ arguments: conditions }, inside)).toBe(true)
    expect(permits({ arguments: conditions }, outside)).toBe(false)
  })

  it('compares texts with a pattern in which only * is special', () => {
    const like = (pattern: string, text: string) =>
      permits({ actions: ['annotate'], arguments: { text: { like: pattern } } }, { text }, '7', 'annotate')
    expect(like('case 17*', 'case 17: late')).toBe(true)
    expect(like('case 17*', 'my case 17')).toBe(false)
    expect(like('a.c', 'abc')).toBe(false)
    expect(like('*', '')).toBe(true)
    expect(like('a*b*c', 'a--b--c')).toBe(true)
  })

  it.each([
    [{ amount: { lte: 'many' } }, /^\/arguments\/amount/],
    [{ amount: { like: '5*' } }, /^\/arguments\/amount/],
    [{ amount: { within: [5] } }, /^\/arguments\/amount/],
    [{ tags: { lt: 'a' } }, /^\/arguments\/tags/],
    [{ weight: { eq: 1 } }, /^\/arguments\/weight/],
  ])('%j that means nothing permits nothing, and is told', (conditions, pointer) => {
    const item = { type: 'countersign_grant' as const, actions: ['refund'], arguments: conditions }
    expect(grantProblems(item, bundle.schema)[0]?.pointer).toMatch(pointer)
    expect(permits({ arguments: conditions }, { amount: 5 })).toBe(false)
  })
})

describe('a grant', () => {
  it('reaches the resources that it names and no others', () => {
    for (const resource of [{ type: 'Order', id: '7' }, { type: 'Order' }, { in: { type: 'Order', id: '7' } }])
      expect(permits({ resources: [resource] }, { amount: 1 }), JSON.stringify(resource)).toBe(true)
    for (const resource of [{ type: 'Order', id: '8' }, { type: 'Ledger' }, { in: { type: 'Order', id: '8' } }])
      expect(permits({ resources: [resource] }, { amount: 1 }), JSON.stringify(resource)).toBe(false)
  })

  it('ends at its own time', () => {
    expect(permits({ expires_at: NOW / 1000 + 1 }, { amount: 1 })).toBe(true)
    expect(permits({ expires_at: NOW / 1000 }, { amount: 1 })).toBe(false)
  })

  it('whose actions the schema does not have permits nothing', () => {
    expect(permits({ actions: ['fly'] }, { amount: 1 })).toBe(false)
  })

  const item = { type: 'countersign_grant', actions: ['refund'] }
  it.each([
    ['no list', item],
    ['an empty list', []],
    ['another type', [{ ...item, type: 'payment_initiation' }]],
    ['a member that nobody reads', [{ ...item, locations: ['x'] }]],
    ['no action', [{ ...item, actions: [] }]],
    ['an empty condition', [{ ...item, arguments: { amount: {} } }]],
    ['half a use', [{ ...item, uses: 0.5 }]],
    ['a budget below zero', [{ ...item, budget: { argument: 'amount', total: -1 } }]],
    [
      'two that count',
      [
        { ...item, grant: 'a', uses: 1 },
        { ...item, grant: 'b', uses: 1 },
      ],
    ],
    ['alternatives that count', [{ ...item, uses: 1 }, item]],
    ['nine grants', Array.from({ length: 9 }, (_, i) => ({ ...item, grant: `g${i}` }))],
  ])('of %s is not understood, so the token is refused', (_, details) => {
    expect(readGrants(details, { counted: true })).toBeUndefined()
  })

  it('that counts is understood only where the Worker minted it', () => {
    expect(readGrants([{ ...item, uses: 1 }], { counted: true })).toHaveLength(1)
    expect(readGrants([{ ...item, uses: 1 }], { counted: false })).toBeUndefined()
  })

  it('is joined by AND under another name, and by OR under the same', () => {
    const named = (grant: string) => ({ ...item, grant })
    expect(
      readGrants([named('a'), named('b'), named('a'), item], { counted: false })?.map(({ id, items }) => [
        id,
        items.length,
      ]),
    ).toEqual([
      ['a', 2],
      ['b', 1],
      ['token', 1],
    ])
  })
})

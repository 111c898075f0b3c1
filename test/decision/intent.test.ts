import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { actionHash, type Intent } from '../../src/decision/intent.ts'
import { jcs, sha256 } from './jcs.ts'

const word = fc.string({ maxLength: 6, unit: 'grapheme' })
const uid = fc.record({ type: fc.constantFrom('Agent', 'User', 'Order', 'A::B'), id: word })
const args = fc.dictionary(word, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 }).map(given => ({ ...given }))
const intent: fc.Arbitrary<Intent> = fc.record({
  tenant: fc.constantFrom('acme', 'beta'),
  principals: fc
    .tuple(uid, fc.array(uid, { maxLength: 2 }), fc.option(uid, { nil: undefined }))
    .map(([actor, chain, user]) => ({ actor, chain, ...(user && { user }) })),
  action: word,
  resource: uid,
  arguments: args,
})

/** As the design words it: the JCS of (tenant, chain, user, action, resource, final arguments). */
const written = ({ tenant, principals: { actor, chain, user }, action, resource, arguments: given }: Intent): string =>
  jcs({ tenant, chain: [actor, ...chain], user: user ?? null, action, resource, arguments: given })

describe('the hash of an action', () => {
  it('is SHA-256 of the JCS of tenant, chain, user, action, resource and arguments', async () => {
    await fc.assert(
      fc.asyncProperty(intent, async given => {
        expect(actionHash(given)).toBe(await sha256(written(given)))
      }),
    )
  })

  it('tells any two intents apart, and only those', () => {
    fc.assert(
      fc.property(intent, intent, (a, b) => {
        expect(actionHash(a) === actionHash(b)).toBe(written(a) === written(b))
      }),
    )
  })

  const actor = { type: 'Agent', id: 'a' }
  const parent = { type: 'Agent', id: 'p' }
  const base: Intent = {
    tenant: 'acme',
    principals: { actor, chain: [parent] },
    action: 'refund',
    resource: { type: 'Order', id: '7' },
    arguments: { amount: 4 },
  }

  it.each<[string, Partial<Intent>]>([
    ['the tenant', { tenant: 'other' }],
    ['the actor', { principals: { actor: { ...actor, id: 'b' }, chain: [parent] } }],
    ['the type of the actor', { principals: { actor: { ...actor, type: 'Robot' }, chain: [parent] } }],
    ['who delegated', { principals: { actor, chain: [parent, actor] } }],
    ['the order of delegation', { principals: { actor: parent, chain: [actor] } }],
    ['that there is a user', { principals: { actor, chain: [parent], user: { type: 'User', id: 'u' } } }],
    ['a user instead of a delegating agent', { principals: { actor, chain: [], user: parent } }],
    ['the action', { action: 'refunds' }],
    ['the resource', { resource: { type: 'Order', id: '8' } }],
    ['an argument', { arguments: { amount: 5 } }],
    ["an argument's type", { arguments: { amount: '4' } }],
    ['one more argument', { arguments: { amount: 4, more: null } }],
  ])('hangs on %s', (_, change) => {
    expect(actionHash({ ...base, ...change })).not.toBe(actionHash(base))
  })

  it("doesn't hang on the order of members, nor on what else an entity carries", () => {
    const plain: Intent = {
      tenant: 'acme',
      principals: { actor: { type: 'Agent', id: 'a' }, chain: [] },
      action: 'refund',
      resource: { type: 'Order', id: '7' },
      arguments: { a: 1, b: { c: 2, d: 3 } },
    }
    const resource = { id: '7', properties: { status: 'open' }, type: 'Order' }
    expect(actionHash({ ...plain, resource, arguments: { b: { d: 3, c: 2 }, a: 1 } })).toBe(actionHash(plain))
  })
})

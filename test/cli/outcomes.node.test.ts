import { expect, it } from 'vitest'
import { compileFiles, linesOf } from './folder.ts'

const told = async (outcomes: object) => {
  const { bundle, diagnostics } = await compileFiles({
    'tenant.json': JSON.stringify({ tenant: 'acme', issuers: [], outcomes }),
    'schema.cedarschema': `entity Agent;
entity Payout;
entity Doc;
action pay appliesTo { principal: [Agent], resource: [Doc], context: { arguments: { payout: String } } };
action view appliesTo { principal: [Agent], resource: [Doc], context: {} };
`,
    'facts.json': JSON.stringify({
      sources: { bank: { rank: 1, speaks_of: [{ type: 'Payout', predicates: ['status', 'sum'] }] } },
      facts: {
        status: { of: 'arguments.payout as Payout', type: 'String' },
        sum: { of: 'arguments.payout as Payout', type: 'Long' },
      },
    }),
  })
  return { bundle, lines: linesOf({ diagnostics }) }
}

it('outcomes that facts tell become part of the bundle', async () => {
  const outcomes = { pay: { fact: 'status', done: ['paid'], not_done: ['cancelled', 'rejected'] } }
  const { bundle, lines } = await told(outcomes)
  expect(lines).toEqual([])
  expect(bundle?.settings.outcomes).toEqual(outcomes)
})

it.each<[string, object, string]>([
  ['an action that there is not', { pays: { fact: 'status', done: ['paid'] } }, 'has no action pays'],
  ['a fact that nobody declared', { pay: { fact: 'state', done: ['paid'] } }, 'facts.json declares no state'],
  ['a value of another type', { pay: { fact: 'sum', done: ['paid'] } }, '/pay/done/0 is no value of sum'],
  ['one value for two outcomes', { pay: { fact: 'status', done: ['x'], failed: ['x'] } }, '/pay/failed/0 stands twice'],
  ['nothing', { pay: { fact: 'status' } }, 'settles nothing'],
  ['an outcome that there is not', { pay: { fact: 'status', unknown: ['x'] } }, 'unknown is not a member'],
  ['an argument that the action lacks', { view: { fact: 'status', done: ['paid'] } }, 'view has none that names it'],
])('%s is an error, with its place', async (_, outcomes, expected) => {
  const { bundle, lines } = await told(outcomes)
  expect(bundle).toBeUndefined()
  expect(lines).toEqual([expect.stringContaining(expected)])
  expect(lines[0]).toContain('tenant.json:')
})

import * as wasm from '@cedar-policy/cedar-wasm/nodejs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { loadEntities } from '../../src/cedar/entities.ts'
import { authorize } from '../../src/cedar/evaluate.ts'
import { EXTENSIONS } from '../../src/cedar/extensions.ts'
import type { PolicySetJson } from '../../src/cedar/json.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import { recordOf } from '../../src/cedar/value.ts'
import { valueFromJson } from '../../src/cedar/value-json.ts'
import { generator, type World, world } from './generate.ts'
import { explain, forWasm } from './reference.ts'

const WORLDS = 1_000
const REQUESTS = 21

test('decides, explains and errs as Cedar does', () => {
  const seen = { requests: 0, reasons: 0, errors: 0, allows: 0, names: new Set<string>() }
  fc.assert(
    fc.property(fc.integer(), seed => {
      const g = generator(seed)
      const generated = world(g, REQUESTS)
      collectNames(generated.policies, seen.names)
      const ours = decideHere(generated)
      expect(ours).toEqual(decideThere(generated))
      for (const { decision, reasons, errors } of ours) {
        seen.requests++
        seen.allows += decision === 'allow' ? 1 : 0
        seen.reasons += reasons.length
        seen.errors += errors.length
      }
    }),
    { numRuns: WORLDS, endOnFailure: true },
  )
  // The test is worth what it reaches: every operator and function, and all kinds of answers, often.
  expect(seen.requests).toBeGreaterThanOrEqual(20_000)
  expect(NAMES.filter(name => !seen.names.has(name))).toEqual([])
  expect(seen.allows).toBeGreaterThan(seen.requests / 20)
  expect(seen.reasons).toBeGreaterThan(seen.requests / 6)
  expect(seen.errors).toBeGreaterThan(seen.requests / 6)
  console.log(`${seen.requests} requests: ${seen.allows} allowed, ${seen.reasons} reasons, ${seen.errors} errors`)
})

interface Answer {
  readonly decision: string
  readonly reasons: readonly string[]
  readonly errors: readonly string[]
}

function decideHere({ policies, entities, requests }: World): Answer[] {
  const policySet = loadPolicies(policies)
  const store = loadEntities(entities)
  return requests.map(request => {
    const context = recordOf(Object.entries(request.context).map(([name, json]) => [name, valueFromJson(json)]))
    const { decision, reasons, errors } = authorize(policySet, { ...request, context }, store)
    return { decision, reasons: reasons.toSorted(), errors: errors.map(error => error.policyId).sort() }
  })
}

function decideThere({ policies, entities, requests }: World): Answer[] {
  const parsed = wasm.preparsePolicySet('differential', forWasm(policies) as wasm.PolicySet)
  if (parsed.type === 'failure') throw new Error(explain(parsed.errors))
  const entitiesThere = forWasm(entities) as wasm.Entities
  return requests.map(request => {
    const call = { ...(forWasm(request) as WasmRequest), entities: entitiesThere, preparsedPolicySetId: 'differential' }
    const answer = wasm.statefulIsAuthorized(call)
    if (answer.type === 'failure') throw new Error(explain(answer.errors))
    const { decision, diagnostics } = answer.response
    return { decision, reasons: diagnostics.reason.sort(), errors: diagnostics.errors.map(e => e.policyId).sort() }
  })
}

type WasmRequest = Pick<wasm.StatefulAuthorizationCall, 'principal' | 'action' | 'resource' | 'context'>

const OPERATORS =
  'Value Var ! neg isEmpty == != in < <= > >= && || + - * contains containsAll containsAny getTag hasTag . has like is if-then-else Set Record'
const NAMES = [...OPERATORS.split(' '), ...Object.keys(EXTENSIONS)]

function collectNames(json: PolicySetJson | unknown, names: Set<string>): void {
  if (typeof json !== 'object' || json === null) return
  for (const [name, part] of Object.entries(json)) {
    names.add(name)
    collectNames(part, names)
  }
}

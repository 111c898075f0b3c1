import { evaluate } from '../cedar/evaluate.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { PolicySet } from '../cedar/policies.ts'
import type { Schema } from '../cedar/schema.ts'
import type { CedarRecord } from '../cedar/value.ts'
import type { Grant, GrantItem } from '../identity/grant.ts'
import { grantPolicies, itemOf } from '../identity/grant-policy.ts'
import type { Draw, Leg } from '../settle/program.ts'
import type { What } from './what.ts'

/** One leg for each grant: it permits or it doesn't, and nothing lifts its refusal. `now` is in milliseconds. */
export const grantLegs = (
  grants: readonly Grant[],
  principal: EntityUid,
  { action, resource, context, entities }: What,
  schema: Schema,
  now: number,
): Leg[] =>
  grants.map(grant => {
    const request = { principal, action, resource, context }
    const { satisfied } = evaluate(policiesOf(grant, schema), request, entities).permit
    const items = [...new Set(satisfied.map(policy => itemOf(grant, policy)))].filter(item => item !== undefined)
    const current = items.filter(item => item.expires_at === undefined || now < item.expires_at * 1000)
    return {
      of: { kind: 'grant', id: grant.id },
      permits: current.map(item => ({
        policy: grant.id,
        when: true,
        meters: [],
        draws: drawsOf(grant.id, item, context),
      })),
      forbids: [],
    }
  })

const drawsOf = (purse: string, { uses, budget }: GrantItem, context: CedarRecord): Draw[] => [
  ...(uses === undefined ? [] : [{ purse, counter: 'uses', cost: 1 } as const]),
  ...(budget === undefined ? [] : [{ purse, counter: 'amount', cost: spent(context, budget.argument) } as const]),
]

/** The grant permits only where the argument is an integer of at least zero. */
const spent = (context: CedarRecord, name: string): number => {
  const given = context.fields.get('arguments')
  const value = typeof given === 'object' && given.kind === 'record' ? given.fields.get(name) : undefined
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.POSITIVE_INFINITY
}

/** A grant's policies, compiled once for each token and schema that an isolate has. */
export const policiesOf = (grant: Grant, schema: Schema): PolicySet => {
  const known = compiled.get(grant)
  if (known?.schema === schema) return known.policies
  const policies = grantPolicies(grant, schema)
  compiled.set(grant, { schema, policies })
  return policies
}

const compiled = new WeakMap<Grant, { schema: Schema; policies: PolicySet }>()

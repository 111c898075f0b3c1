import type { ActionType } from '../../cedar/schema.ts'
import type { Attribute, Type } from '../../cedar/type.ts'
import type { LoadedBundle } from '../../policy/load.ts'
import { covers } from './overlap.ts'

/**
 * Budgets whose argument an action of their policy doesn't promise: there the policy could only err. `what` says what
 * the action has instead.
 */
export const unaccountable = ({ policies, rules, schema, entities }: LoadedBundle) => {
  const problems: { policy: string; argument: string; action: string; what: string }[] = []
  for (const { id, scope } of policies.values()) {
    for (const { argument } of rules.get(id)?.budgets ?? []) {
      if (!argument) continue
      for (const action of schema.actions.values()) {
        if (action.principals.length === 0 || !covers(scope.action, action.uid, entities)) continue
        const what = otherThanAmount(action, argument)
        if (what !== undefined) {
          problems.push({ policy: id, argument: ['arguments', ...argument].join('.'), action: action.uid.id, what })
        }
      }
    }
  }
  return problems
}

/** Budgets for each group of a type that there is not. */
export const groupless = ({ rules, schema }: LoadedBundle): { policy: string; type: string }[] =>
  [...rules.values()].flatMap(({ id, budgets }) =>
    budgets.flatMap(({ per }) =>
      typeof per === 'object' && !schema.entityTypes.has(per.group) ? [{ policy: id, type: per.group }] : [],
    ),
  )

const otherThanAmount = ({ context }: ActionType, argument: readonly string[]): string | undefined => {
  let type: Type = context
  for (const name of ['arguments', ...argument]) {
    const attribute: Attribute | undefined = type.kind === 'record' ? type.attributes.get(name) : undefined
    if (!attribute) return `has no ${name}`
    if (!attribute.required) return `may go without ${name}`
    type = attribute.type
  }
  return type.kind === 'long' ? undefined : `has a ${type.kind} there`
}

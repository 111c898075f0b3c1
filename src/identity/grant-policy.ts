import { convert } from '../cedar/convert.ts'
import { type Expr, FormatError, type PatternElem, type PolicyJson } from '../cedar/json.ts'
import { loadPolicies, type PolicySet } from '../cedar/policies.ts'
import type { ActionType, Schema } from '../cedar/schema.ts'
import type { Type } from '../cedar/type.ts'
import { valueToJson } from '../cedar/value-json.ts'
import type { Condition, Grant, GrantItem } from './grant.ts'

/** What is wrong with an item under a schema. `pointer` is a JSON pointer into the item. */
export type GrantProblem = { pointer: string; problem: string }

/**
 * A grant as Cedar policies, one for each item, action and kind of resource. What the schema doesn't know gives none:
 * that permits nothing, which is the safe way to misunderstand a grant.
 */
export const grantPolicies = ({ items }: Grant, schema: Schema): PolicySet => {
  const policies = items.flatMap((item, index) =>
    policiesOf(item, schema).policies.map((policy, n): [string, PolicyJson] => [`${index}.${n}`, policy]),
  )
  return loadPolicies({ staticPolicies: Object.fromEntries(policies) })
}

/** The item that a policy of `grantPolicies` was made of. */
export const itemOf = ({ items }: Grant, policyId: string): GrantItem | undefined =>
  items[Number.parseInt(policyId, 10)]

/** All that keeps an item from meaning what it says. */
export const grantProblems = (item: GrantItem, schema: Schema): GrantProblem[] => policiesOf(item, schema).problems

/** The actions that a name means: one, or those below a group. */
export const actionsNamed = (name: string, schema: Schema): ActionType[] => {
  const named = [...schema.actions.values()].find(({ uid }) => uid.id === name)
  if (!named) return []
  const below = [...schema.actions.values()].filter(action => action.memberOf.some(({ key }) => key === named.uid.key))
  return [named, ...below.flatMap(({ uid }) => actionsNamed(uid.id, schema))]
}

const policiesOf = (item: GrantItem, schema: Schema): { policies: PolicyJson[]; problems: GrantProblem[] } => {
  const problems: GrantProblem[] = []
  const actions = item.actions.flatMap((name, index) => {
    const named = actionsNamed(name, schema)
    if (named.length === 0) problems.push({ pointer: `/actions/${index}`, problem: 'the schema has no such action' })
    return named
  })
  const takeable = actions.filter(({ principals }) => principals.length > 0)
  const resources = resourcesOf(item, schema, problems)
  const policies = takeable.flatMap(action => {
    const conditions = conditionsOf(item, action, problems)
    if (!conditions) return []
    return resources.map(
      (resource): PolicyJson => ({
        effect: 'permit',
        principal: { op: 'All' },
        action: { op: '==', entity: { type: action.uid.type, id: action.uid.id } },
        resource,
        conditions: conditions.map(body => ({ kind: 'when', body })),
      }),
    )
  })
  return { policies, problems }
}

const resourcesOf = ({ resources }: GrantItem, schema: Schema, problems: GrantProblem[]): PolicyJson['resource'][] =>
  resources?.flatMap((resource, index): PolicyJson['resource'][] => {
    const types = 'in' in resource ? [resource.in.type, resource.type] : [resource.type]
    if (types.some(type => type !== undefined && !schema.entityTypes.has(type))) {
      problems.push({ pointer: `/resources/${index}`, problem: 'the schema has no such entity type' })
      return []
    }
    if ('in' in resource) {
      const entity = resource.in
      return [
        resource.type === undefined ? { op: 'in', entity } : { op: 'is', entity_type: resource.type, in: { entity } },
      ]
    }
    return ['id' in resource ? { op: '==', entity: resource } : { op: 'is', entity_type: resource.type }]
  }) ?? [{ op: 'All' }]

/** What an action's arguments are of. */
export const argumentTypes = ({ context }: ActionType): ReadonlyMap<string, { type: Type }> => {
  const declared = context.attributes.get('arguments')?.type
  return declared?.kind === 'record' ? declared.attributes : new Map()
}

/** `undefined` where a condition can't be written for this action: then the action isn't granted. */
const conditionsOf = (item: GrantItem, action: ActionType, problems: GrantProblem[]): Expr[] | undefined => {
  const types = argumentTypes(action)
  const wrong = (name: string, problem: string): undefined => {
    problems.push({ pointer: `/arguments/${name}`, problem: `${action.uid.id}: ${problem}` })
  }
  const exprs: Expr[] = []
  for (const [name, condition] of Object.entries(item.arguments ?? {})) {
    const type = types.get(name)?.type
    if (!type) return wrong(name, 'no such argument')
    const made = conditionExprs(argument(name), type, condition)
    if (!made) return wrong(name, 'the condition does not fit the type of the argument')
    exprs.push(...made)
  }
  if (item.budget) {
    const { argument: name } = item.budget
    if (types.get(name)?.type.kind !== 'long') return wrong(name, 'a budget counts an argument of type Long')
    // Spending less than nothing would fill the account.
    exprs.push({ '>=': { left: argument(name), right: { Value: 0 } } })
  }
  return exprs
}

const argument = (attr: string): Expr => ({
  '.': { left: { '.': { left: { Var: 'context' }, attr: 'arguments' } }, attr },
})

const conditionExprs = (left: Expr, type: Type, condition: Condition): Expr[] | undefined => {
  const exprs: (Expr | undefined)[] = []
  const { eq, in: oneOf, like, within } = condition
  if (eq !== undefined) exprs.push(joined(literal(type, eq), right => ({ '==': { left, right } })))
  if (oneOf) exprs.push(joined(literals(type, oneOf), set => ({ contains: { left: set, right: left } })))
  for (const [name, symbol] of ORDER) {
    if (condition[name] === undefined) continue
    exprs.push(joined(literal(type, condition[name]), right => compare(type, symbol, left, right)))
  }
  if (like !== undefined) exprs.push(type.kind === 'string' ? { like: { left, pattern: patternOf(like) } } : undefined)
  if (within) {
    const element = type.kind === 'set' ? type.element : undefined
    const set = element && literals(element, within)
    exprs.push(joined(set, all => ({ containsAll: { left: all, right: left } })))
  }
  return exprs.every(expr => expr !== undefined) ? exprs : undefined
}

const ORDER = [
  ['lt', '<'],
  ['lte', '<='],
  ['gt', '>'],
  ['gte', '>='],
] as const

const compare = (type: Type, symbol: '<' | '<=' | '>' | '>=', left: Expr, right: Expr): Expr | undefined => {
  switch (type.kind) {
    case 'long':
    case 'datetime':
    case 'duration':
      return BINARY[symbol](left, right)
    case 'decimal':
      return DECIMAL[symbol](left, right)
    default:
      return undefined
  }
}

type Compare = (left: Expr, right: Expr) => Expr
const BINARY: Record<'<' | '<=' | '>' | '>=', Compare> = {
  '<': (left, right) => ({ '<': { left, right } }),
  '<=': (left, right) => ({ '<=': { left, right } }),
  '>': (left, right) => ({ '>': { left, right } }),
  '>=': (left, right) => ({ '>=': { left, right } }),
}
const DECIMAL: typeof BINARY = {
  '<': (left, right) => ({ lessThan: [left, right] }),
  '<=': (left, right) => ({ lessThanOrEqual: [left, right] }),
  '>': (left, right) => ({ greaterThan: [left, right] }),
  '>=': (left, right) => ({ greaterThanOrEqual: [left, right] }),
}

const literal = (type: Type, json: unknown): Expr | undefined => {
  const value = convert(type, json)
  if (!value.ok) return undefined
  try {
    return { Value: valueToJson(value.value) }
  } catch (error) {
    // A record with a member that JSON reserves: nothing that an argument could equal.
    if (error instanceof FormatError) return undefined
    throw error
  }
}

const literals = (type: Type, items: readonly unknown[]): Expr | undefined => {
  const made = items.map(item => literal(type, item))
  return made.every(item => item !== undefined) ? { Set: made } : undefined
}

const joined = (expr: Expr | undefined, make: (expr: Expr) => Expr | undefined): Expr | undefined => expr && make(expr)

/** `*` stands for any characters. */
export const patternOf = (text: string): PatternElem[] =>
  text
    .split('*')
    .flatMap((part, index) => [
      ...(index > 0 ? (['Wildcard'] as const) : []),
      ...(part === '' ? [] : [{ Literal: part }]),
    ])

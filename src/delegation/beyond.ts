import type { ActionType, Schema } from '../cedar/schema.ts'
import { jcs } from '../durable/jcs.ts'
import type { Grant, GrantItem } from '../identity/grant.ts'
import { actionsNamed } from '../identity/grant-policy.ts'
import { isWithin } from './within.ts'

/** What would have to be added to a grant so that it permits what is asked for. */
export type Addition = { grant: string; items: GrantItem[] }

/**
 * Where a request asks for more than a grant holds. It asks for what it states: what it leaves open (resources, a
 * condition on an argument, an end) is the grant's. Counters are moved and never widened, so they don't stand in it.
 */
export const beyond = (asked: readonly GrantItem[], { id, items: held }: Grant, schema: Schema): Addition => ({
  grant: id,
  items: joined(asked.flatMap(item => actionsOf(item, schema).flatMap(action => lacking(item, held, action, schema)))),
})

const lacking = (
  { uses: _, budget: __, ...stated }: GrantItem,
  held: readonly GrantItem[],
  action: ActionType,
  schema: Schema,
): GrantItem[] => {
  const named = held.filter(item => actionsOf(item, schema).some(({ uid }) => uid.key === action.uid.key))
  const only = { ...stated, actions: [action.uid.id] }
  if (named.length === 0) return [only]
  const filled = named.map(item => filledFrom(only, item))
  return filled.some(item => named.some(wider => isWithin(item, wider, action))) ? [] : filled
}

const actionsOf = ({ actions }: GrantItem, schema: Schema): ActionType[] =>
  actions.flatMap(name => actionsNamed(name, schema)).filter(({ principals }) => principals.length > 0)

const filledFrom = (item: GrantItem, { resources, arguments: conditions, expires_at }: GrantItem): GrantItem => ({
  ...(resources && { resources }),
  ...(expires_at !== undefined && { expires_at }),
  ...item,
  ...((conditions || item.arguments) && { arguments: { ...conditions, ...item.arguments } }),
})

/** Items that differ in nothing but their actions are one. */
const joined = (items: readonly GrantItem[]): GrantItem[] => {
  const alike = new Map<string, GrantItem>()
  for (const { actions, ...terms } of items) {
    const key = jcs(terms)
    const known = alike.get(key)?.actions ?? []
    alike.set(key, { ...terms, actions: [...new Set([...known, ...actions])] })
  }
  return [...alike.values()]
}

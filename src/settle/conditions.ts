import type { Attribute, Condition, Scalar } from '../sdk/scope/filter.ts'

/** A condition that is known to hold always or never is a boolean. */
export type Where = Condition | boolean

export const all = (parts: readonly Where[]): Where => {
  const of = flat('and', parts)
  if (of.includes(false)) return false
  const conditions = of.filter(part => typeof part === 'object')
  // A leaf on an attribute holds only where there is one.
  const present = new Set(conditions.flatMap(part => (impliesPresence(part) ? [placeOf(part.attribute)] : [])))
  const needed = conditions.filter(part => part.op !== 'has' || !present.has(placeOf(part.attribute)))
  return joined('and', merged(needed, { one: 'ne', many: 'not_in' }))
}

export const any = (parts: readonly Where[]): Where => {
  const of = flat('or', parts)
  if (of.includes(true)) return true
  return joined(
    'or',
    merged(
      of.filter(part => typeof part === 'object'),
      { one: 'eq', many: 'in' },
    ),
  )
}

/** How many leaves a condition has, and how many values stand in their lists. */
export const sizeOf = (where: Where): { leaves: number; values: number } => {
  if (typeof where === 'boolean') return { leaves: 0, values: 0 }
  if ('of' in where) {
    const sizes = where.of.map(sizeOf)
    return { leaves: sum(sizes.map(size => size.leaves)), values: sum(sizes.map(size => size.values)) }
  }
  return { leaves: 1, values: 'values' in where ? where.values.length : 0 }
}

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0)

const flat = (op: 'and' | 'or', parts: readonly Where[]): Where[] =>
  parts.flatMap(part => (typeof part === 'object' && part.op === op ? part.of : [part]))

const joined = (op: 'and' | 'or', conditions: readonly Condition[]): Where => {
  const of = [...new Map(conditions.map(condition => [JSON.stringify(condition), condition])).values()]
  const [first, second] = of
  if (first === undefined) return op === 'and'
  return second === undefined ? first : { op, of }
}

/** Comparisons of one attribute with several values become one with a list. */
const merged = (
  conditions: readonly Condition[],
  { one, many }: { one: 'eq'; many: 'in' } | { one: 'ne'; many: 'not_in' },
): Condition[] => {
  const lists = new Map<string, { attribute: Attribute; values: Set<Scalar> }>()
  const rest: Condition[] = []
  for (const condition of conditions) {
    const values =
      condition.op === one && 'value' in condition
        ? [condition.value]
        : condition.op === many && 'values' in condition
          ? condition.values
          : undefined
    if (values === undefined || !('attribute' in condition)) {
      rest.push(condition)
      continue
    }
    const place = placeOf(condition.attribute)
    const list = lists.get(place) ?? { attribute: condition.attribute, values: new Set<Scalar>() }
    for (const value of values) list.values.add(value)
    lists.set(place, list)
  }
  const comparisons = [...lists.values()].map(({ attribute, values }): Condition => {
    const [value] = values
    return values.size === 1 && value !== undefined
      ? { op: one, attribute, value }
      : { op: many, attribute, values: [...values] }
  })
  return [...comparisons, ...rest]
}

const impliesPresence = (condition: Condition): condition is Exclude<Condition, { of: Condition[] }> =>
  !('of' in condition) && condition.op !== 'has' && condition.op !== 'lacks'

const placeOf = ({ path }: Attribute): string => JSON.stringify(path)

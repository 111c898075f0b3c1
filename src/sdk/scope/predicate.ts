import { type Attribute, type Comparison, type Condition, columnName, type Filter, type Scalar } from './filter.ts'

/** A resource as a program holds it: attributes by name, records nested, and `id`. Null and undefined mean absent. */
export type Row = { readonly [name: string]: unknown }

/**
 * The filter as a function over objects. Entities may be ids or objects with an `id`; times milliseconds, `Date`s or ISO
 * texts; sets arrays.
 */
export const predicate = (filter: Filter): ((row: Row) => boolean) => {
  if (filter.scope === 'when') return test(filter.condition)
  const always = filter.scope === 'always'
  return () => always
}

type Test = (row: Row) => boolean

const test = (condition: Condition): Test => {
  switch (condition.op) {
    case 'and': {
      const tests = condition.of.map(test)
      return row => tests.every(one => one(row))
    }
    case 'or': {
      const tests = condition.of.map(test)
      return row => tests.some(one => one(row))
    }
    case 'has':
      return row => valueAt(row, condition.attribute) !== undefined
    case 'lacks':
      return row => valueAt(row, condition.attribute) === undefined
    case 'empty':
      return row => membersAt(row, condition.attribute)?.length === 0
    case 'not_empty':
      return row => (membersAt(row, condition.attribute)?.length ?? 0) > 0
    case 'in':
    case 'not_in': {
      const values = new Set<unknown>(condition.values)
      const wanted = condition.op === 'in'
      return on(condition.attribute, value => values.has(value) === wanted)
    }
    case 'contains_any':
    case 'contains_none': {
      const values = new Set<unknown>(condition.values)
      const wanted = condition.op === 'contains_any'
      return row => {
        const members = membersAt(row, condition.attribute)
        return members !== undefined && members.some(member => values.has(member)) === wanted
      }
    }
    case 'like':
    case 'unlike': {
      const wanted = condition.op === 'like'
      return on(condition.attribute, value => typeof value === 'string' && matches(value, condition.pattern) === wanted)
    }
    default: {
      const compare = COMPARE[condition.op]
      if ('value' in condition) return on(condition.attribute, value => compare(value, condition.value))
      return row => {
        const [left, right] = [scalarAt(row, condition.attribute), scalarAt(row, condition.other)]
        return left !== undefined && right !== undefined && compare(left, right)
      }
    }
  }
}

const COMPARE: { readonly [Op in Comparison]: (a: Plain, b: Plain) => boolean } = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  lte: (a, b) => a <= b,
  gt: (a, b) => a > b,
  gte: (a, b) => a >= b,
}

type Plain = Scalar | bigint

const on = (attribute: Attribute, holds: (value: Plain) => boolean): Test => {
  return row => {
    const value = scalarAt(row, attribute)
    return value !== undefined && holds(value)
  }
}

const valueAt = (row: Row, attribute: Attribute): unknown => {
  let at: unknown = row
  for (const name of attribute.path.length === 0 ? [columnName(attribute)] : attribute.path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Row)[name]
  }
  return at ?? undefined
}

const scalarAt = (row: Row, attribute: Attribute): Plain | undefined => plain(valueAt(row, attribute), attribute.type)

const membersAt = (row: Row, attribute: Attribute): (Plain | undefined)[] | undefined => {
  const value = valueAt(row, attribute)
  return Array.isArray(value) ? value.map(member => plain(member, attribute.element)) : undefined
}

/** `undefined` where the value isn't of the type: what can't be read fits no condition. */
const plain = (value: unknown, type: Attribute['element'] | Attribute['type']): Plain | undefined => {
  switch (type) {
    case 'entity':
      return textOf(typeof value === 'object' && value !== null && 'id' in value ? value.id : value)
    case 'string':
      return textOf(value)
    case 'bool':
      return typeof value === 'boolean' ? value : undefined
    case 'datetime': {
      const at = value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : value
      return numberOf(at)
    }
    case 'long':
    case 'duration':
      return numberOf(value)
    default:
      return undefined
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const numberOf = (value: unknown): number | bigint | undefined => {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  return typeof value === 'number' && !Number.isNaN(value) ? value : undefined
}

/** Each literal is taken at the first place where it fits: what follows can only gain by that. */
const matches = (text: string, pattern: readonly (string | null)[]): boolean => {
  let at = 0
  let anywhere = false
  for (const [index, part] of pattern.entries()) {
    if (part === null) {
      anywhere = true
      continue
    }
    if (anywhere && index === pattern.length - 1) return text.length - part.length >= at && text.endsWith(part)
    const found = anywhere ? text.indexOf(part, at) : text.startsWith(part, at) ? at : -1
    if (found === -1) return false
    at = found + part.length
    anywhere = false
  }
  return anywhere || at === text.length
}

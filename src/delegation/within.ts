import { convert } from '../cedar/convert.ts'
import { matcher } from '../cedar/like.ts'
import type { ActionType } from '../cedar/schema.ts'
import type { Type } from '../cedar/type.ts'
import { equals, isSubset, setOf, type Value } from '../cedar/value.ts'
import type { Condition, GrantItem } from '../identity/grant.ts'
import { argumentTypes, patternOf } from '../identity/grant-policy.ts'

/**
 * Whether whatever an item permits of one action another permits too, as far as their terms can be compared: `false`
 * means that it can't be shown. What they count is not looked at.
 */
export const isWithin = (item: GrantItem, other: GrantItem, action: ActionType): boolean => {
  const types = argumentTypes(action)
  return (
    (other.expires_at === undefined || (item.expires_at ?? Number.POSITIVE_INFINITY) <= other.expires_at) &&
    (other.resources === undefined ||
      (item.resources?.every(resource => other.resources?.some(wider => reaches(wider, resource))) ?? false)) &&
    Object.entries(other.arguments ?? {}).every(([name, condition]) => {
      const type = types.get(name)?.type
      const given = item.arguments?.[name]
      return type !== undefined && given !== undefined && implies(given, condition, type)
    })
  )
}

type Resource = NonNullable<GrantItem['resources']>[number]

/** Whatever hangs below an entity is known only when it is decided: there only the same words are within each other. */
const reaches = (wider: Resource, { type, ...resource }: Resource): boolean => {
  if ('in' in wider) {
    const root = 'in' in resource ? resource.in : 'id' in resource ? { type, id: resource.id } : undefined
    const sameRoot = root?.type === wider.in.type && root.id === wider.in.id
    return sameRoot && (wider.type === undefined || wider.type === type)
  }
  if (wider.type !== type) return false
  return !('id' in wider) || ('id' in resource && resource.id === wider.id)
}

/** Whether each value that fits the first condition fits the second. */
const implies = (given: Condition, wider: Condition, type: Type): boolean => {
  const finite = given.eq !== undefined ? [given.eq] : given.in
  const values = finite?.map(value => read(type, value))
  if (values) return values.every(value => value !== undefined && fits(value, wider, type))
  const bound = (of: 'lt' | 'lte' | 'gt' | 'gte') => (given[of] === undefined ? undefined : read(type, given[of]))
  // A bound of the other kind serves where it is beyond: below 5 is also at most 5, at most 4 is also below 5.
  const below = (limit: unknown, strict: boolean) =>
    holds(bound('lt'), '<=', read(type, limit)) || holds(bound('lte'), strict ? '<' : '<=', read(type, limit))
  const above = (limit: unknown, strict: boolean) =>
    holds(read(type, limit), '<=', bound('gt')) || holds(read(type, limit), strict ? '<' : '<=', bound('gte'))
  return (
    wider.eq === undefined &&
    wider.in === undefined &&
    (wider.lt === undefined || below(wider.lt, true)) &&
    (wider.lte === undefined || below(wider.lte, false)) &&
    (wider.gt === undefined || above(wider.gt, true)) &&
    (wider.gte === undefined || above(wider.gte, false)) &&
    (wider.like === undefined || wider.like === given.like) &&
    (wider.within === undefined || (given.within !== undefined && isPartOf(given.within, wider.within, type)))
  )
}

/** Whether one value fits a condition: as `grant-policy.ts` has Cedar say it. */
const fits = (value: Value, { eq, in: oneOf, lt, lte, gt, gte, like, within }: Condition, type: Type): boolean => {
  const same = (other: unknown): boolean => {
    const known = read(type, other)
    return known !== undefined && equals(value, known)
  }
  return (
    (eq === undefined || same(eq)) &&
    (oneOf === undefined || oneOf.some(same)) &&
    (lt === undefined || holds(value, '<', read(type, lt))) &&
    (lte === undefined || holds(value, '<=', read(type, lte))) &&
    (gt === undefined || holds(read(type, gt), '<', value)) &&
    (gte === undefined || holds(read(type, gte), '<=', value)) &&
    (like === undefined || (typeof value === 'string' && matcher(patternOf(like))(value))) &&
    (within === undefined || isSetWithin(value, within, type))
  )
}

const isSetWithin = (value: Value, within: readonly unknown[], type: Type): boolean => {
  const allowed = type.kind === 'set' ? readAll(type.element, within) : undefined
  return allowed !== undefined && typeof value === 'object' && value.kind === 'set' && isSubset(value, setOf(allowed))
}

const isPartOf = (given: readonly unknown[], wider: readonly unknown[], type: Type): boolean => {
  const values = type.kind === 'set' ? readAll(type.element, given) : undefined
  return values !== undefined && isSetWithin(setOf(values), wider, type)
}

const holds = (left: Value | undefined, symbol: '<' | '<=', right: Value | undefined): boolean => {
  const [a, b] = [ordered(left), ordered(right)]
  if (a === undefined || b === undefined) return false
  return symbol === '<' ? a < b : a <= b
}

/** What values of a type are ordered by. */
const ordered = (value: Value | undefined): number | bigint | undefined => {
  if (typeof value === 'number' || typeof value === 'bigint') return value
  if (typeof value !== 'object') return undefined
  switch (value.kind) {
    case 'decimal':
      return value.scaled
    case 'datetime':
      return value.epoch
    case 'duration':
      return value.ms
    default:
      return undefined
  }
}

const read = (type: Type, json: unknown): Value | undefined => {
  const read = convert(type, json)
  return read.ok ? read.value : undefined
}

const readAll = (type: Type, json: readonly unknown[]): Value[] | undefined => {
  const values = json.map(item => read(type, item))
  return values.every(value => value !== undefined) ? values : undefined
}

import type { EntityStore } from './entities.ts'
import { fault, isFault, NEEDS_UNKNOWN } from './fault.ts'
import { addLong, type Long, mulLong, subLong } from './long.ts'
import { mismatch, type Outcome } from './outcome.ts'
import {
  type CedarSet,
  contains,
  type EntityRef,
  equals,
  isDisjoint,
  isOpen,
  isSubset,
  magnitude,
  recordOf,
  setOf,
  type Value,
} from './value.ts'

/**
 * The operators of Cedar that always evaluate all their operands. Each takes outcomes: a fault among them passes
 * through, the left one first, as Cedar evaluates from left to right.
 */
export type Binary = (left: Outcome, right: Outcome, entities: EntityStore) => Outcome

export const equal: Binary = (left, right) => {
  if (typeof left !== 'object' && typeof right !== 'object') return left === right
  if (isFault(left)) return left
  if (isFault(right)) return right
  return isOpen(left) || isOpen(right) ? NEEDS_UNKNOWN : equals(left, right)
}

export const notEqual: Binary = (left, right, entities) => not(equal(left, right, entities))

export const less = comparison((a, b) => a < b)
export const lessOrEqual = comparison((a, b) => a <= b)
export const greater = comparison((a, b) => a > b)
export const greaterOrEqual = comparison((a, b) => a >= b)

export const add = arithmetic('+', addLong)
export const subtract = arithmetic('-', subLong)
export const multiply = arithmetic('*', mulLong)

export const setContains: Binary = (left, right) => {
  if (isFault(right) && !isFault(left)) return right
  if (!isSet(left)) return mismatch('set', left)
  if (isFault(right)) return right
  if (isOpen(right)) return NEEDS_UNKNOWN
  return contains(left, right) || (left.open && NEEDS_UNKNOWN)
}

export const containsAll = setComparison((left, right) => isSubset(right, left))
export const containsAny = setComparison((left, right) => !isDisjoint(left, right))

export const isIn: Binary = (left, right, entities) => {
  if (isFault(right) && !isFault(left)) return right
  if (!isEntity(left)) return mismatch('entity', left)
  if (isEntity(right)) return left.key === right.key || (entities.get(left.key)?.ancestors.has(right.key) ?? false)
  if (!isSet(right)) return mismatch('entity or set of entities', right)
  if (!right.entities) return right.open ? NEEDS_UNKNOWN : mismatch('set of entities', right)
  if (right.keys.has(left.key)) return true
  for (const ancestor of entities.get(left.key)?.ancestors ?? NONE) if (right.keys.has(ancestor)) return true
  return false
}

export const getTag: Binary = (left, right, entities) => {
  if (isFault(right) && !isFault(left)) return right
  if (!isEntity(left)) return mismatch('entity', left)
  if (typeof right !== 'string') return mismatch('string', right)
  const entity = entities.get(left.key)
  if (entity === undefined) return missingEntity(left)
  return entity.tags.get(right) ?? fault('missing_tag', `${show(left)} has no tag ${JSON.stringify(right)}`)
}

export const hasTag: Binary = (left, right, entities) => {
  if (isFault(right) && !isFault(left)) return right
  if (!isEntity(left)) return mismatch('entity', left)
  if (typeof right !== 'string') return mismatch('string', right)
  return entities.get(left.key)?.tags.has(right) ?? false
}

export function not(arg: Outcome): Outcome {
  return typeof arg === 'boolean' ? !arg : mismatch('bool', arg)
}

export function negate(arg: Outcome): Outcome {
  if (typeof arg !== 'number' && typeof arg !== 'bigint') return mismatch('long', arg)
  return subLong(0, arg) ?? fault('overflow', `-(${arg}) overflows`)
}

export function isEmpty(arg: Outcome): Outcome {
  return isSet(arg) ? arg.items.length === 0 : mismatch('set', arg)
}

export function isType(arg: Outcome, type: string): Outcome {
  return isEntity(arg) ? arg.type === type : mismatch('entity', arg)
}

export function getAttr(arg: Outcome, name: string, absent: Outcome, entities: EntityStore): Outcome {
  if (typeof arg === 'object') {
    if (arg.kind === 'record') return arg.fields.get(name) ?? absent
    if (arg.kind === 'entity') {
      const entity = entities.get(arg.key)
      return entity === undefined ? missingEntity(arg) : (entity.attrs.get(name) ?? absent)
    }
  }
  return mismatch('record or entity', arg)
}

export function missingAttr(name: string): Outcome {
  return fault('missing_attribute', `no attribute ${JSON.stringify(name)}`)
}

export function hasAttr(arg: Outcome, name: string, entities: EntityStore): Outcome {
  if (typeof arg === 'object') {
    if (arg.kind === 'record') return arg.fields.has(name)
    if (arg.kind === 'entity') return entities.get(arg.key)?.attrs.has(name) ?? false
  }
  return mismatch('record or entity', arg)
}

/** `arg has a.b.c`: true when each step of the path is there. */
export function hasPath(arg: Outcome, path: readonly string[], entities: EntityStore): Outcome {
  let at = arg
  for (const name of path) {
    const found = hasAttr(at, name, entities)
    if (found !== true) return found
    at = getAttr(at, name, found, entities)
  }
  return true
}

export function makeSet(items: readonly Outcome[]): Outcome {
  const values: Value[] = []
  for (const item of items) {
    if (isFault(item)) return item
    values.push(item)
  }
  return setOf(values)
}

export function makeRecord(names: readonly string[], items: readonly Outcome[]): Outcome {
  const fields: [string, Value][] = []
  for (const [i, item] of items.entries()) {
    if (isFault(item)) return item
    fields.push([names[i] ?? '', item])
  }
  return recordOf(fields)
}

const NONE: readonly never[] = []

export function isEntity(value: Outcome): value is EntityRef {
  return typeof value === 'object' && value.kind === 'entity'
}

export function isSet(value: Outcome): value is CedarSet {
  return typeof value === 'object' && value.kind === 'set'
}

/** `<` and its kin order Longs, datetimes among each other, and durations among each other. */
function comparison(compare: (a: Long, b: Long) => boolean): Binary {
  return (left, right) => {
    if (typeof left === 'number' && typeof right === 'number') return compare(left, right)
    if (isFault(left)) return left
    if (isFault(right)) return right
    const a = magnitude(left)
    const b = magnitude(right)
    if (a === undefined) return mismatch('long, datetime or duration', left)
    if (b === undefined || kindOf(left) !== kindOf(right)) return mismatch(kindOf(left), right)
    return compare(a, b)
  }
}

function kindOf(value: Value): string {
  return typeof value === 'object' ? value.kind : 'long'
}

function arithmetic(symbol: string, compute: (a: Long, b: Long) => Long | undefined): Binary {
  return (left, right) => {
    if (isFault(right) && !isFault(left)) return right
    if (typeof left !== 'number' && typeof left !== 'bigint') return mismatch('long', left)
    if (typeof right !== 'number' && typeof right !== 'bigint') return mismatch('long', right)
    return compute(left, right) ?? fault('overflow', `${left} ${symbol} ${right} overflows`)
  }
}

function setComparison(compare: (left: CedarSet, right: CedarSet) => boolean): Binary {
  return (left, right) => {
    if (isFault(right) && !isFault(left)) return right
    if (!isSet(left)) return mismatch('set', left)
    if (!isSet(right)) return mismatch('set', right)
    return left.open || right.open ? NEEDS_UNKNOWN : compare(left, right)
  }
}

function missingEntity(entity: EntityRef): Outcome {
  return fault('missing_entity', `${show(entity)} does not exist`)
}

function show(entity: EntityRef): string {
  return `${entity.type}::${JSON.stringify(entity.id)}`
}

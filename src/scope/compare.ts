import { BINARY } from '../cedar/compile.ts'
import type { BinaryName, PatternElem } from '../cedar/json.ts'
import { matcher } from '../cedar/like.ts'
import * as ops from '../cedar/operators.ts'
import { setOf, type Value } from '../cedar/value.ts'
import type { Attribute, Comparison, Condition, Scalar } from '../sdk/scope/filter.ts'
import { all, any } from '../settle/conditions.ts'
import {
  type AttributeTerm,
  at,
  type Both,
  isOf,
  isScalar,
  isStorable,
  known,
  knownOf,
  NEITHER,
  oneOf,
  opposite,
  type Places,
  present,
  sameType,
  scalarOf,
  scalarsOf,
  someOf,
  type Term,
  unsayable,
} from './term.ts'

/** Where two terms compare as an operator asks, at least one of them an attribute: else Cedar's own operator says it. */
export const compare = (name: Exclude<BinaryName, '&&' | '||'>, left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value' && right.kind === 'value') {
    return known(BINARY[name](left.value, right.value, places.entities))
  }
  switch (name) {
    case '==':
      return same(left, right, places)
    case '!=':
      return opposite(same(left, right, places))
    case '<':
      return order('lt', left, right, places)
    case '<=':
      return order('lte', left, right, places)
    case '>':
      return order('gt', left, right, places)
    case '>=':
      return order('gte', left, right, places)
    case 'in':
      return within(left, right, places)
    case 'contains':
      return contains(left, right, places)
    case 'containsAny':
      return containsAny(left, right, places)
    case 'containsAll':
      return containsAll(left, right, places)
    default:
      return unsayable(places)
  }
}

export const like = (term: Term, pattern: readonly PatternElem[], places: Places): Both => {
  if (term.kind === 'value') return typeof term.value === 'string' ? known(matcher(pattern)(term.value)) : NEITHER
  if (term.type.kind !== 'string') return NEITHER
  const parts = patternOf(pattern)
  if (parts.some(part => part !== null && !isStorable(part))) return unsayable(places)
  const attribute = at(term)
  return { yes: { op: 'like', attribute, pattern: parts }, no: { op: 'unlike', attribute, pattern: parts } }
}

/** Cedar has a step for each character; what stands together is put together. */
const patternOf = (pattern: readonly PatternElem[]): (string | null)[] => {
  const parts: (string | null)[] = []
  for (const part of pattern) {
    const last = parts.at(-1)
    if (part === 'Wildcard') {
      if (last !== null) parts.push(null)
    } else if (typeof last === 'string') parts[parts.length - 1] = last + part.Literal
    else parts.push(part.Literal)
  }
  return parts
}

const same = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value') return same(right, left, places)
  if (right.kind === 'value') return equal(left, right.value, places)
  if (!isScalar(left.type) || !isScalar(right.type)) return unsayable(places)
  if (!sameType(left.type, right.type)) return { yes: false, no: all([present(left), present(right)]) }
  const [attribute, other] = [at(left), at(right)]
  return { yes: { op: 'eq', attribute, other }, no: { op: 'ne', attribute, other } }
}

export const equal = (term: AttributeTerm, value: Value, places: Places): Both => {
  if (!isScalar(term.type)) return unsayable(places)
  if (!isOf(value, term.type)) return { yes: false, no: present(term) }
  const scalar = scalarOf(value)
  if (scalar === undefined) return unsayable(places)
  const attribute = at(term)
  return { yes: { op: 'eq', attribute, value: scalar }, no: { op: 'ne', attribute, value: scalar } }
}

const FLIPPED = { lt: 'gt', lte: 'gte', gt: 'lt', gte: 'lte' } as const
const CONTRARY = { lt: 'gte', lte: 'gt', gt: 'lte', gte: 'lt' } as const

const order = (op: keyof typeof FLIPPED, left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value') return right.kind === 'value' ? NEITHER : order(FLIPPED[op], right, left, places)
  const { kind } = left.type
  if (kind !== 'long' && kind !== 'datetime' && kind !== 'duration') return NEITHER
  const attribute = at(left)
  const both = (rest: { value: Scalar } | { other: Attribute }): Both => {
    const leaf = (comparison: Comparison): Condition => ({ op: comparison, attribute, ...rest })
    return { yes: leaf(op), no: leaf(CONTRARY[op]) }
  }
  if (right.kind === 'attribute') return sameType(left.type, right.type) ? both({ other: at(right) }) : NEITHER
  if (!isOf(right.value, left.type)) return NEITHER
  const value = scalarOf(right.value)
  return value === undefined ? unsayable(places) : both({ value })
}

const within = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'attribute') {
    if (left.type.kind !== 'entity') return NEITHER
    if (right.kind === 'attribute') return unsayable(places)
    // Who descends from whom is the bundle's to say; each is below itself.
    const { name } = left.type
    const roots = ops.isEntity(right.value) ? [right.value] : ops.isSet(right.value) ? right.value.items : undefined
    if (!roots?.every(root => ops.isEntity(root))) return NEITHER
    const below = knownOf(name, places).filter(({ uid }) => ops.isIn(uid, right.value, places.entities) === true)
    const own = roots.filter(root => root.type === name)
    return oneOf(
      left,
      [...below.map(({ uid }) => uid), ...own].map(({ id }) => id),
    )
  }
  if (right.kind !== 'attribute' || !ops.isEntity(left.value)) return NEITHER
  const above = [left.value.key, ...(places.entities.get(left.value.key)?.ancestors ?? [])]
  const idsAbove = (type: string) => [
    ...(left.kind === 'value' && ops.isEntity(left.value) && left.value.type === type ? [left.value.id] : []),
    ...knownAbove(above, type, places),
  ]
  if (right.type.kind === 'entity') return oneOf(right, idsAbove(right.type.name))
  if (right.type.kind !== 'set' || right.type.element.kind !== 'entity') return NEITHER
  return someOf(right, idsAbove(right.type.element.name))
}

/** Ancestors needn't be entities of the bundle themselves, but their keys say what they are. */
const knownAbove = (keys: readonly string[], type: string, { entities }: Places): string[] => {
  const found: string[] = []
  for (const key of keys) {
    for (const parent of entities.get(key)?.parents ?? []) if (parent.type === type) found.push(parent.id)
  }
  return [...new Set(found)]
}

const contains = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value') {
    if (!ops.isSet(left.value) || right.kind !== 'attribute') return NEITHER
    if (!isScalar(right.type)) return unsayable(places)
    const values = scalarsOf(left.value, right.type)
    return values ? oneOf(right, values) : unsayable(places)
  }
  if (left.type.kind !== 'set') return NEITHER
  if (right.kind === 'attribute' || !isScalar(left.type.element)) return unsayable(places)
  const values = scalarsOf(setOf([right.value]), left.type.element)
  return values ? someOf(left, values) : unsayable(places)
}

const containsAny = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value') return right.kind === 'value' ? NEITHER : containsAny(right, left, places)
  if (left.type.kind !== 'set') return NEITHER
  if (right.kind === 'attribute' || !isScalar(left.type.element)) return unsayable(places)
  if (!ops.isSet(right.value)) return NEITHER
  const values = scalarsOf(right.value, left.type.element)
  return values ? someOf(left, values) : unsayable(places)
}

const containsAll = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value' || right.kind === 'attribute') return unsayable(places)
  if (left.type.kind !== 'set' || !ops.isSet(right.value)) return NEITHER
  const parts = right.value.items.map(item => contains(left, { kind: 'value', value: item }, places))
  return {
    yes: all([present(left), ...parts.map(({ yes }) => yes)]),
    no: any(parts.map(({ no }) => no)),
  }
}

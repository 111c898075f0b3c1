import { BINARY } from '../cedar/compile.ts'
import type { EntityStore } from '../cedar/entities.ts'
import { callExtension } from '../cedar/extensions.ts'
import { isFault, type Outcome } from '../cedar/fault.ts'
import type { BinaryName, Expr, PatternElem } from '../cedar/json.ts'
import { matcher } from '../cedar/like.ts'
import * as ops from '../cedar/operators.ts'
import type { Schema, Type } from '../cedar/schema.ts'
import { parse } from '../cedar/syntax.ts'
import { type CedarSet, readValue, setOf, type Value } from '../cedar/value.ts'
import type { Attribute, Comparison, Condition, Scalar, ScalarType } from '../sdk/scope/filter.ts'
import { all, any, type Where } from '../settle/conditions.ts'

/**
 * Where an expression about an unknown resource is true, and where it is false. Where it errs it is neither, so the two
 * need not be each other's opposite, and where it can't be said in terms of attributes both are less than they could be:
 * taking a permit for `yes` and a forbid for not `no` never lets through what a decision would not.
 */
export type Both = { yes: Where; no: Where }

export type Places = {
  /** The type of the unknown resource. */
  type: string
  /** The name by which the expression knows it. */
  name: string
  schema: Schema
  entities: EntityStore
  /** The bundle's entities of a type. */
  idsOf: (type: string) => readonly string[]
  /** Told where something can't be said in terms of attributes. */
  inexact: () => void
}

export const whereOf = (expr: Expr, places: Places): Both => boolean(expr, places)

type Term =
  | { kind: 'value'; value: Value }
  /** An attribute of the resource, or with no path the resource itself. */
  | { kind: 'attribute'; path: string[]; type: Type }

/** What an expression's value is, and where. Where no case holds, it errs. */
type Case = { where: Where; term: Term }

const NEITHER: Both = { yes: false, no: false }

const boolean = (expr: Expr, places: Places): Both => {
  const node = parse(expr)
  switch (node.op) {
    case 'unary':
      if (node.name === '!') return opposite(boolean(node.arg, places))
      break
    case 'binary': {
      if (node.name === '&&') return and(boolean(node.left, places), () => boolean(node.right, places))
      if (node.name === '||')
        return opposite(and(opposite(boolean(node.left, places)), () => opposite(boolean(node.right, places))))
      const { name } = node
      return pairs(cases(node.left, places), cases(node.right, places), (l, r) => compare(name, l, r, places))
    }
    case 'if': {
      const test = boolean(node.test, places)
      const [yes, no] = [boolean(node.yes, places), boolean(node.no, places)]
      return {
        yes: any([all([test.yes, yes.yes]), all([test.no, no.yes])]),
        no: any([all([test.yes, yes.no]), all([test.no, no.no])]),
      }
    }
    case 'has':
      return has(node.left, node.path, places)
    case 'like':
      return each(cases(node.left, places), term => like(term, node.pattern, places))
    case 'is': {
      const { type, within } = node
      const left = cases(node.left, places)
      const typed = each(left, term => isType(term, type))
      if (within === undefined) return typed
      return and(typed, () => pairs(left, cases(within, places), (l, r) => compare('in', l, r, places)))
    }
  }
  return each(cases(expr, places), term => {
    if (term.kind === 'value') return term.value === true ? YES : term.value === false ? NO : NEITHER
    return term.type.kind === 'bool' ? equal(term, true, places) : NEITHER
  })
}

const YES: Both = { yes: true, no: false }
const NO: Both = { yes: false, no: true }

const opposite = ({ yes, no }: Both): Both => ({ yes: no, no: yes })

const and = (left: Both, right: () => Both): Both => {
  if (left.yes === false) return { yes: false, no: left.no }
  const second = right()
  return { yes: all([left.yes, second.yes]), no: any([left.no, all([left.yes, second.no])]) }
}

const each = (of: readonly Case[], test: (term: Term) => Both): Both => {
  const tested = of.map(({ where, term }) => ({ where, ...test(term) }))
  return {
    yes: any(tested.map(({ where, yes }) => all([where, yes]))),
    no: any(tested.map(({ where, no }) => all([where, no]))),
  }
}

const pairs = (left: readonly Case[], right: readonly Case[], test: (l: Term, r: Term) => Both): Both =>
  each(left, l => each(right, r => test(l, r)))

const cases = (expr: Expr, places: Places): Case[] => {
  const node = parse(expr)
  switch (node.op) {
    case 'value':
      return outcome(readValue(node.json))
    case 'unknown':
      if (node.name !== places.name) return unsaid(places)
      return [{ where: true, term: { kind: 'attribute', path: [], type: entityType(places.type) } }]
    case 'getAttr':
      return cases(node.left, places).flatMap(({ where, term }) =>
        attribute(term, node.attr, places).map(next => ({ ...next, where: all([where, next.where]) })),
      )
    case 'set':
      return ofValues(node.items, places, items => setOf(items))
    case 'record':
      return ofValues(node.items, places, items => ops.makeRecord(node.names, items))
    case 'call':
      return ofValues(node.args, places, args => callExtension(node.name, args))
    case 'unary':
      if (node.name === 'neg') return ofValues([node.arg], places, ([arg = false]) => ops.negate(arg))
      if (node.name === 'isEmpty') return truths(each(cases(node.arg, places), term => isEmpty(term)))
      return truths(boolean(expr, places))
    case 'binary':
      if (node.name === '+' || node.name === '-' || node.name === '*' || node.name === 'getTag') {
        const apply = BINARY[node.name]
        return ofValues([node.left, node.right], places, ([l = false, r = false]) => apply(l, r, places.entities))
      }
      return truths(boolean(expr, places))
    case 'if': {
      const test = boolean(node.test, places)
      const under = (where: Where, branch: Expr) =>
        where === false ? [] : cases(branch, places).map(next => ({ ...next, where: all([where, next.where]) }))
      return [...under(test.yes, node.yes), ...under(test.no, node.no)]
    }
    case 'var':
      return unsaid(places)
    default:
      return truths(boolean(expr, places))
  }
}

const unsaid = (places: Places): [] => {
  places.inexact()
  return []
}

const unsayable = (places: Places): Both => {
  places.inexact()
  return NEITHER
}

const outcome = (value: Outcome): Case[] => (isFault(value) ? [] : [{ where: true, term: { kind: 'value', value } }])

const truths = ({ yes, no }: Both): Case[] =>
  [
    { where: yes, term: { kind: 'value', value: true } as const },
    { where: no, term: { kind: 'value', value: false } as const },
  ].filter(({ where }) => where !== false)

/** A step that is computed here wherever all its operands are values. */
const ofValues = (exprs: readonly Expr[], places: Places, apply: (values: Value[]) => Outcome): Case[] => {
  let combined: { where: Where; values: Value[] }[] = [{ where: true, values: [] }]
  for (const expr of exprs) {
    const next = cases(expr, places)
    if (next.some(({ term }) => term.kind === 'attribute') || combined.length * next.length > MOST_CASES)
      return unsaid(places)
    combined = combined.flatMap(({ where, values }) =>
      next.flatMap(one =>
        one.term.kind === 'value' ? [{ where: all([where, one.where]), values: [...values, one.term.value] }] : [],
      ),
    )
  }
  return combined.flatMap(({ where, values }) => outcome(apply(values)).map(one => ({ ...one, where })))
}

const MOST_CASES = 10_000

const attribute = (term: Term, name: string, places: Places): Case[] => {
  if (term.kind === 'value') return outcome(ops.getAttr(term.value, name, ops.missingAttr(name), places.entities))
  const { path, type } = term
  if (type.kind === 'record') return declared(type.attributes.get(name)?.type, [...path, name])
  if (type.kind !== 'entity') return []
  if (path.length === 0) return declared(attributeType(type.name, name, places), [name])
  // An attribute of an entity that the resource names: the bundle knows what there is.
  return knownOf(type.name, places).flatMap(({ uid, attrs }) => {
    const value = attrs.get(name)
    return value === undefined ? [] : [{ where: equal(term, uid, places).yes, term: { kind: 'value', value } as const }]
  })
}

const declared = (type: Type | undefined, path: string[]): Case[] =>
  type === undefined ? [] : [{ where: true, term: { kind: 'attribute', path, type } }]

const attributeType = (type: string, name: string, { schema }: Places): Type | undefined =>
  schema.entityTypes.get(type)?.shape.attributes.get(name)?.type

const knownOf = (type: string, { idsOf, entities }: Places) =>
  idsOf(type).flatMap(id => {
    const entity = entities.find({ type, id })
    return entity ? [entity] : []
  })

const has = (left: Expr, path: readonly string[], places: Places): Both => {
  const [name, ...further] = path
  if (name === undefined) return YES
  const found = each(cases(left, places), term => hasOne(term, name, places))
  if (further.length === 0) return found
  return and(found, () => has({ '.': { left, attr: name } }, further, places))
}

const hasOne = (term: Term, name: string, places: Places): Both => {
  if (term.kind === 'value') return known(ops.hasAttr(term.value, name, places.entities))
  const { path, type } = term
  if (type.kind === 'record' || (type.kind === 'entity' && path.length === 0)) {
    const kind = type.kind === 'record' ? type.attributes.get(name)?.type : attributeType(type.name, name, places)
    if (kind === undefined) return { yes: false, no: present(term) }
    const inner = at({ kind: 'attribute', path: [...path, name], type: kind })
    const yes: Where = { op: 'has', attribute: inner }
    // what the type requires and the row lacks is unknown, not absent: a decision waits for it
    if (type.kind === 'entity' && isRequired(type.name, name, places)) return { yes, no: false }
    return { yes, no: all([present(term), { op: 'lacks', attribute: inner }]) }
  }
  if (type.kind !== 'entity') return NEITHER
  const ids = knownOf(type.name, places).flatMap(({ uid, attrs }) => (attrs.has(name) ? [uid.id] : []))
  return oneOf(term, ids)
}

const isRequired = (type: string, name: string, { schema }: Places): boolean =>
  schema.entityTypes.get(type)?.shape.attributes.get(name)?.required === true

const known = (value: Outcome): Both => (value === true ? YES : value === false ? NO : NEITHER)

const isType = (term: Term, type: string): Both => {
  if (term.kind === 'value') return known(ops.isType(term.value, type))
  if (term.type.kind !== 'entity') return NEITHER
  return term.type.name === type ? { yes: present(term), no: false } : { yes: false, no: present(term) }
}

const isEmpty = (term: Term): Both => {
  if (term.kind === 'value') return known(ops.isEmpty(term.value))
  if (term.type.kind !== 'set') return NEITHER
  return { yes: { op: 'empty', attribute: at(term) }, no: { op: 'not_empty', attribute: at(term) } }
}

const like = (term: Term, pattern: readonly PatternElem[], places: Places): Both => {
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

const compare = (name: Exclude<BinaryName, '&&' | '||'>, left: Term, right: Term, places: Places): Both => {
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

type AttributeTerm = Extract<Term, { kind: 'attribute' }>

const same = (left: Term, right: Term, places: Places): Both => {
  if (left.kind === 'value') return same(right, left, places)
  if (right.kind === 'value') return equal(left, right.value, places)
  if (!isScalar(left.type) || !isScalar(right.type)) return unsayable(places)
  if (!sameType(left.type, right.type)) return { yes: false, no: all([present(left), present(right)]) }
  const [attribute, other] = [at(left), at(right)]
  return { yes: { op: 'eq', attribute, other }, no: { op: 'ne', attribute, other } }
}

const equal = (term: AttributeTerm, value: Value, places: Places): Both => {
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

const oneOf = (term: AttributeTerm, values: Scalar[]): Both => {
  const attribute = at(term)
  if (values.length === 0) return { yes: false, no: present(term) }
  const unique = [...new Set(values)]
  return { yes: any([{ op: 'in', attribute, values: unique }]), no: all([{ op: 'not_in', attribute, values: unique }]) }
}

const someOf = (term: AttributeTerm, values: Scalar[]): Both => {
  const attribute = at(term)
  if (values.length === 0) return { yes: false, no: present(term) }
  return { yes: { op: 'contains_any', attribute, values }, no: { op: 'contains_none', attribute, values } }
}

const present = (term: AttributeTerm): Where => (term.path.length === 0 ? true : { op: 'has', attribute: at(term) })

const at = ({ path, type }: AttributeTerm): Attribute => {
  if (type.kind === 'set' && isScalar(type.element)) return { path, type: 'set', element: type.element.kind }
  return { path, type: isScalar(type) ? type.kind : type.kind === 'record' ? 'record' : 'set' }
}

const isScalar = (type: Type): type is Extract<Type, { kind: ScalarType }> => {
  const { kind } = type
  return kind !== 'set' && kind !== 'record' && kind !== 'decimal' && kind !== 'ipaddr'
}

const sameType = (a: Type, b: Type): boolean =>
  a.kind === 'entity' && b.kind === 'entity' ? a.name === b.name : a.kind === b.kind

const isOf = (value: Value, type: Type): boolean => {
  switch (typeof value) {
    case 'string':
      return type.kind === 'string'
    case 'boolean':
      return type.kind === 'bool'
    case 'object':
      return value.kind === 'entity' && type.kind === 'entity' ? value.type === type.name : value.kind === type.kind
    default:
      return type.kind === 'long'
  }
}

/** `undefined` for what stores and JSON can't hold exactly. */
const scalarOf = (value: Value): Scalar | undefined => {
  switch (typeof value) {
    case 'bigint':
      return undefined
    case 'string':
      return isStorable(value) ? value : undefined
    case 'object': {
      if (value.kind === 'entity') return isStorable(value.id) ? value.id : undefined
      const ms = value.kind === 'datetime' ? value.epoch : value.kind === 'duration' ? value.ms : undefined
      return typeof ms === 'number' ? ms : undefined
    }
    default:
      return value
  }
}

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

/** Those members of a set that an attribute of the type can equal; `undefined` where one of them can't be said. */
const scalarsOf = (set: CedarSet, type: Type): Scalar[] | undefined => {
  const scalars = set.items.filter(item => isOf(item, type)).map(scalarOf)
  return scalars.every(scalar => scalar !== undefined) ? scalars : undefined
}

const entityType = (name: string): Type => ({ kind: 'entity', name, ids: undefined })

import { BINARY } from '../cedar/compile.ts'
import { callExtension } from '../cedar/extensions.ts'
import { isFault } from '../cedar/fault.ts'
import type { Expr } from '../cedar/json.ts'
import * as ops from '../cedar/operators.ts'
import type { Outcome } from '../cedar/outcome.ts'
import { parse } from '../cedar/syntax.ts'
import type { Type } from '../cedar/type.ts'
import { setOf, type Value } from '../cedar/value.ts'
import { readValue } from '../cedar/value-json.ts'
import { all, any, type Where } from '../settle/conditions.ts'
import { compare, equal, like } from './compare.ts'
import {
  at,
  type Both,
  known,
  knownOf,
  NEITHER,
  NO,
  oneOf,
  opposite,
  type Places,
  present,
  type Term,
  YES,
} from './term.ts'

export const whereOf = (expr: Expr, places: Places): Both => boolean(expr, places)

/** What an expression's value is, and where. Where no case holds, it errs. */
type Case = { where: Where; term: Term }

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

const entityType = (name: string): Type => ({ kind: 'entity', name, ids: undefined })

import type { EntityStore } from '../cedar/entities.ts'
import type { Outcome } from '../cedar/outcome.ts'
import type { Schema } from '../cedar/schema.ts'
import type { Type } from '../cedar/type.ts'
import type { CedarSet, Value } from '../cedar/value.ts'
import type { Attribute, Scalar, ScalarType } from '../sdk/scope/filter.ts'
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

/** What an expression about the unknown resource comes to. */
export type Term =
  | { kind: 'value'; value: Value }
  /** An attribute of the resource, or with no path the resource itself. */
  | { kind: 'attribute'; path: string[]; type: Type }

export type AttributeTerm = Extract<Term, { kind: 'attribute' }>

export const NEITHER: Both = { yes: false, no: false }

export const YES: Both = { yes: true, no: false }
export const NO: Both = { yes: false, no: true }

export const opposite = ({ yes, no }: Both): Both => ({ yes: no, no: yes })

export const known = (value: Outcome): Both => (value === true ? YES : value === false ? NO : NEITHER)

/** What can't be said in terms of attributes: less than it could be, and told. */
export const unsayable = (places: Places): Both => {
  places.inexact()
  return NEITHER
}

/** The bundle's entities of a type. */
export const knownOf = (type: string, { idsOf, entities }: Places) =>
  idsOf(type).flatMap(id => {
    const entity = entities.find({ type, id })
    return entity ? [entity] : []
  })

/** Where an attribute is one of the values. */
export const oneOf = (term: AttributeTerm, values: Scalar[]): Both => {
  const attribute = at(term)
  if (values.length === 0) return { yes: false, no: present(term) }
  const unique = [...new Set(values)]
  return { yes: any([{ op: 'in', attribute, values: unique }]), no: all([{ op: 'not_in', attribute, values: unique }]) }
}

/** Where a set holds one of the values. */
export const someOf = (term: AttributeTerm, values: Scalar[]): Both => {
  const attribute = at(term)
  if (values.length === 0) return { yes: false, no: present(term) }
  return { yes: { op: 'contains_any', attribute, values }, no: { op: 'contains_none', attribute, values } }
}

export const present = (term: AttributeTerm): Where =>
  term.path.length === 0 ? true : { op: 'has', attribute: at(term) }

export const at = ({ path, type }: AttributeTerm): Attribute => {
  if (type.kind === 'set' && isScalar(type.element)) return { path, type: 'set', element: type.element.kind }
  return { path, type: isScalar(type) ? type.kind : type.kind === 'record' ? 'record' : 'set' }
}

export const isScalar = (type: Type): type is Extract<Type, { kind: ScalarType }> => {
  const { kind } = type
  return kind !== 'set' && kind !== 'record' && kind !== 'decimal' && kind !== 'ipaddr'
}

export const sameType = (a: Type, b: Type): boolean =>
  a.kind === 'entity' && b.kind === 'entity' ? a.name === b.name : a.kind === b.kind

export const isOf = (value: Value, type: Type): boolean => {
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
export const scalarOf = (value: Value): Scalar | undefined => {
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

export const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

/** Those members of a set that an attribute of the type can equal; `undefined` where one of them can't be said. */
export const scalarsOf = (set: CedarSet, type: Type): Scalar[] | undefined => {
  const scalars = set.items.filter(item => isOf(item, type)).map(scalarOf)
  return scalars.every(scalar => scalar !== undefined) ? scalars : undefined
}

import type { DateTime, Duration } from './datetime.ts'
import type { Decimal } from './decimal.ts'
import type { IpAddr } from './ip.ts'
import type { EntityUid } from './json.ts'
import type { Long } from './long.ts'
import type { Type } from './type.ts'

export type Value =
  | boolean
  | Long
  | string
  | EntityRef
  | CedarSet
  | CedarRecord
  | Decimal
  | IpAddr
  | DateTime
  | Duration
  | Unknown

/** The name of an entity. Any two with the same `key` are the same, and no others. */
export interface EntityRef extends EntityUid {
  readonly kind: 'entity'
  readonly key: string
}

/** Without duplicates. Members are indexed: primitives by themselves, all others by their key. */
export interface CedarSet {
  readonly kind: 'set'
  readonly items: readonly Value[]
  readonly primitives: ReadonlySet<Value>
  readonly keys: ReadonlySet<string>
  /** Are all members entities? */
  readonly entities: boolean
  /** Is there an unknown somewhere inside? */
  readonly open: boolean
}

export interface CedarRecord {
  readonly kind: 'record'
  readonly fields: ReadonlyMap<string, Value>
  /** Is there an unknown somewhere inside? */
  readonly open: boolean
}

/** Stands for a value that isn't at hand. Whatever needs it is left to partial evaluation. */
export interface Unknown {
  readonly kind: 'unknown'
  readonly name: string
  /** What the value will be of, where that is certain; it lets partial evaluation rule out errors. */
  readonly type: Type | undefined
}

export function entityRef(type: string, id: string): EntityRef {
  // The length tells where the id starts, so no type and id can pose as another pair.
  return { kind: 'entity', type, id, key: `e${id.length}:${type}:${id}` }
}

export function unknown(name: string, type?: Type): Unknown {
  return { kind: 'unknown', name, type }
}

export function setOf(values: Iterable<Value>): CedarSet {
  const items: Value[] = []
  const primitives = new Set<Value>()
  const keys = new Set<string>()
  let entities = true
  let open = false
  for (const value of values) {
    if (typeof value !== 'object') {
      if (primitives.has(value)) continue
      primitives.add(value)
      entities = false
    } else {
      const key = keyOf(value)
      if (keys.has(key)) continue
      keys.add(key)
      if (value.kind !== 'entity') {
        entities = false
        open ||= isOpen(value)
      }
    }
    items.push(value)
  }
  return { kind: 'set', items, primitives, keys, entities, open }
}

export function recordOf(entries: Iterable<readonly [string, Value]>): CedarRecord {
  const fields = new Map(entries)
  let open = false
  for (const value of fields.values()) open ||= isOpen(value)
  return { kind: 'record', fields, open }
}

/** Is the value an unknown, or does it hold one? */
export function isOpen(value: Value): boolean {
  if (typeof value !== 'object') return false
  return value.kind === 'unknown' || ((value.kind === 'set' || value.kind === 'record') && value.open)
}

/** Cedar's `==`. Values of different types are different. Of no meaning for values with unknowns inside. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a.kind !== b.kind) return false
  if (a.kind === 'entity' && b.kind === 'entity') return a.key === b.key
  if (a.kind === 'record' && b.kind === 'record') {
    if (a.fields.size !== b.fields.size) return false
    for (const [name, value] of a.fields) {
      const other = b.fields.get(name)
      if (other === undefined || !equals(value, other)) return false
    }
    return true
  }
  if (a.kind === 'set' && b.kind === 'set') return a.items.length === b.items.length && isSubset(a, b)
  return keyOf(a) === keyOf(b)
}

export function contains(set: CedarSet, value: Value): boolean {
  return typeof value === 'object' ? set.keys.size > 0 && set.keys.has(keyOf(value)) : set.primitives.has(value)
}

export function isSubset(small: CedarSet, large: CedarSet): boolean {
  return small.items.length <= large.items.length && small.items.every(item => contains(large, item))
}

export function isDisjoint(a: CedarSet, b: CedarSet): boolean {
  const [small, large] = a.items.length < b.items.length ? [a, b] : [b, a]
  return !small.items.some(item => contains(large, item))
}

/** What `<` compares: a Long, or the milliseconds of a datetime or a duration; undefined for all others. */
export function magnitude(value: Value): Long | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return value
  if (typeof value !== 'object') return undefined
  if (value.kind === 'datetime') return value.epoch
  return value.kind === 'duration' ? value.ms : undefined
}

/** The same for equal values only, among all values that aren't primitives. */
function keyOf(value: Exclude<Value, boolean | Long | string>): string {
  switch (value.kind) {
    case 'entity':
      return value.key
    case 'decimal':
      return `d${value.scaled}`
    case 'datetime':
      return `t${value.epoch}`
    case 'duration':
      return `u${value.ms}`
    case 'ipaddr':
      return `i${value.version}:${value.address}/${value.prefix}`
    case 'unknown':
      return `x${value.name}`
    case 'set':
      return `s[${value.items.map(nestedKey).sort().join()}]`
    case 'record': {
      const names = [...value.fields.keys()].sort()
      return `r{${names.map(name => `${JSON.stringify(name)}:${nestedKey(value.fields.get(name) ?? false)}`).join()}}`
    }
  }
}

/** Quoted, so that where one member ends and the next begins is never in doubt. */
function nestedKey(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'object' ? `#${JSON.stringify(keyOf(value))}` : String(value)
}

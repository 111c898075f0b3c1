import { type DateTime, type Duration, formatDatetime, formatDuration } from './datetime.ts'
import { type Decimal, formatDecimal } from './decimal.ts'
import { callExtension, isExtensionName } from './extensions.ts'
import { type Fault, isFault } from './fault.ts'
import { formatIp, type IpAddr } from './ip.ts'
import { type CedarValueJson, type EntityUid, type EntityUidJson, FormatError } from './json.ts'
import { type Long, toLong } from './long.ts'
import type { Outcome } from './outcome.ts'
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

/** As Cedar writes it. Throws a `FormatError` for an unknown and for a record that JSON would take for an escape. */
export function valueToJson(value: Value): CedarValueJson {
  if (typeof value !== 'object') return value
  switch (value.kind) {
    case 'entity':
      return { __entity: { type: value.type, id: value.id } }
    case 'set':
      return value.items.map(valueToJson)
    case 'record':
      for (const name of ESCAPES) if (value.fields.has(name)) throw new FormatError(`no JSON for a record with ${name}`)
      return Object.fromEntries([...value.fields].map(([name, field]) => [name, valueToJson(field)]))
    case 'decimal':
      return extension('decimal', formatDecimal(value))
    case 'ipaddr':
      return extension('ip', formatIp(value))
    case 'duration':
      return extension('duration', formatDuration(value))
    case 'datetime': {
      const text = formatDatetime(value)
      if (text !== undefined) return extension('datetime', text)
      const fromEpoch = extension('duration', formatDuration({ kind: 'duration', ms: value.epoch }))
      return { __extn: { fn: 'offset', args: [extension('datetime', '1970-01-01'), fromEpoch] } }
    }
    case 'unknown':
      throw new FormatError(`no JSON for the unknown \`${value.name}\``)
  }
}

/** Reads a value without a schema: entities and extension values need their escapes. Throws `FormatError`. */
export function valueFromJson(json: CedarValueJson): Value {
  const outcome = readValue(json)
  if (isFault(outcome)) throw new FormatError(outcome.message)
  return outcome
}

/** Like `valueFromJson`, but an extension value that can't be made is a fault: in a policy it errs when evaluated. */
export function readValue(json: CedarValueJson): Value | Fault {
  switch (typeof json) {
    case 'boolean':
    case 'string':
      return json
    case 'number':
      if (Number.isSafeInteger(json)) return json + 0
      throw new FormatError(Number.isInteger(json) ? `integer ${json} lost precision` : `${json} is not an integer`)
    case 'bigint':
      return toLong(json) ?? outOfRange(json)
    default:
      if (json === null) throw new FormatError('null is not a Cedar value')
      return Array.isArray(json) ? readSet(json) : readObject(json as { readonly [key: string]: CedarValueJson })
  }
}

/** An entity in either spelling; undefined when it is neither. */
export function readEntity(json: unknown): EntityRef | undefined {
  const uid = isObject(json) && isObject(json.__entity) ? json.__entity : json
  if (!isObject(uid) || typeof uid.type !== 'string' || typeof uid.id !== 'string') return undefined
  return entityRef(uid.type, uid.id)
}

export function entityFromJson(json: EntityUidJson): EntityRef {
  return readEntity(json) ?? fail(`not an entity: ${JSON.stringify(json)}`)
}

export function isObject(json: unknown): json is { readonly [key: string]: unknown } {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

const ESCAPES = ['__entity', '__extn', '__expr']

function readSet(json: readonly CedarValueJson[]): Value | Fault {
  const items: Value[] = []
  for (const item of json) {
    const value = readValue(item)
    if (isFault(value)) return value
    items.push(value)
  }
  return setOf(items)
}

function readObject(json: { readonly [key: string]: CedarValueJson }): Value | Fault {
  const names = Object.keys(json)
  // As in Cedar, only an object that holds one key, with the right shape inside, is an escape.
  if (names.length === 1) {
    const { __entity: entity, __extn: call } = json
    if (entity !== undefined) return readEntity(entity) ?? readRecord(json)
    if (call !== undefined) return readCall(call) ?? readRecord(json)
    if (typeof json.__expr === 'string') throw new FormatError('`__expr` is no longer part of Cedar')
  }
  return readRecord(json)
}

function readRecord(json: { readonly [key: string]: CedarValueJson }): Value | Fault {
  const fields: [string, Value][] = []
  for (const [name, field] of Object.entries(json)) {
    const value = readValue(field)
    if (isFault(value)) return value
    fields.push([name, value])
  }
  return recordOf(fields)
}

/** The contents of `__extn`; undefined when they haven't its shape. */
function readCall(json: CedarValueJson): Value | Fault | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const { fn, arg, args } = json as { readonly [key: string]: CedarValueJson }
  if (typeof fn !== 'string' || (arg === undefined && !Array.isArray(args))) return undefined
  if (!isExtensionName(fn)) throw new FormatError(`unknown extension function \`${fn}\``)
  const operands: readonly CedarValueJson[] = arg === undefined ? (args as readonly CedarValueJson[]) : [arg]
  const outcome: Outcome = callExtension(fn, operands.map(readValue))
  return outcome
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

function extension(fn: string, arg: string): CedarValueJson {
  return { __extn: { fn, arg } }
}

function outOfRange(value: bigint): never {
  return fail(`${value} takes more than 64 bits`)
}

function fail(message: string): never {
  throw new FormatError(message)
}

import { callExtension } from './extensions.ts'
import { isFault } from './fault.ts'
import { type CedarValueJson, FormatError, isObject } from './json.ts'
import { step } from './pointer.ts'
import type { EntityReferenceType, ExtensionType, RecordType, Type } from './type.ts'
import { CONSTRUCTORS } from './typed.ts'
import { type CedarRecord, entityRef, recordOf, setOf, type Value } from './value.ts'
import { valueFromJson } from './value-json.ts'

/**
 * Reads plain JSON, as callers of the API write it, by the type that the schema declares. Long: an integer within
 * ±(2^53-1). decimal: a string, or a number of at most four decimals. datetime, duration, ipaddr: a string in Cedar's
 * syntax. Entity: `{type, id}`. Sets are arrays. Never throws; finds all problems.
 */
export function convert(type: Type, json: unknown, pointer = ''): Conversion<Value> {
  const problems: Problem[] = []
  const value = read(type, json, pointer, problems)
  return value === undefined || problems.length > 0 ? { ok: false, problems } : { ok: true, value }
}

/** Like `convert`, for types known to be records, such as that of an action's context. */
export function convertRecord(type: RecordType, json: unknown, pointer = ''): Conversion<CedarRecord> {
  const problems: Problem[] = []
  const value = readRecord(type, json, pointer, problems)
  return value === undefined || problems.length > 0 ? { ok: false, problems } : { ok: true, value }
}

export type Conversion<T extends Value> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export interface Problem {
  /** RFC 6901, from where `pointer` started. */
  readonly pointer: string
  readonly code: ProblemCode
  /** For people: what would have been right. */
  readonly expected: string
}

export type ProblemCode =
  | 'missing'
  /** JSON of another type. */
  | 'mistyped'
  /** JSON of the right type, but a value that the type hasn't: out of range, or not in Cedar's syntax. */
  | 'malformed'
  /** An attribute that the schema doesn't declare. */
  | 'undeclared'

/** A type as the schema language writes it. */
export function describe(type: Type): string {
  switch (type.kind) {
    case 'bool':
      return 'Bool'
    case 'long':
      return 'Long'
    case 'string':
      return 'String'
    case 'set':
      return `Set<${describe(type.element)}>`
    case 'entity':
      return type.name
    case 'record':
      return `{${[...type.attributes].map(([name, { required }]) => (required ? name : `${name}?`)).join(', ')}}`
    default:
      return type.kind
  }
}

/** Undefined when a problem was added. */
function read(type: Type, json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  switch (type.kind) {
    case 'bool':
      return typeof json === 'boolean' ? json : mistyped(type, pointer, problems)
    case 'string':
      return typeof json === 'string' ? json : mistyped(type, pointer, problems)
    case 'long':
      return readLong(json, pointer, problems)
    case 'set':
      return readSet(type, type.element, json, pointer, problems)
    case 'entity':
      return readEntity(type, json, pointer, problems)
    case 'record':
      return readRecord(type, json, pointer, problems)
    case 'decimal':
      return readExtension('decimal', typeof json === 'number' ? decimalText(json) : json, pointer, problems)
    default:
      return readExtension(type.kind, json, pointer, problems)
  }
}

function readLong(json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  if (typeof json !== 'number' || !Number.isInteger(json)) return mistyped({ kind: 'long' }, pointer, problems)
  // `+ 0` turns -0 into 0.
  if (Number.isSafeInteger(json)) return json + 0
  return problem(problems, pointer, 'malformed', 'an integer within ±(2^53-1)')
}

function readSet(type: Type, element: Type, json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  if (!Array.isArray(json)) return mistyped(type, pointer, problems)
  const items: Value[] = []
  for (const [i, item] of json.entries()) {
    const value = read(element, item, `${pointer}/${i}`, problems)
    if (value !== undefined) items.push(value)
  }
  return setOf(items)
}

function readEntity(type: EntityReferenceType, json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  const expected = `{"type": "${type.name}", "id": …}`
  if (!isObject(json)) return problem(problems, pointer, 'mistyped', expected)
  const before = problems.length
  for (const name of Object.keys(json)) if (name !== 'type' && name !== 'id') undeclared(problems, pointer, name)
  for (const name of ['type', 'id']) {
    if (!Object.hasOwn(json, name)) problem(problems, pointer + step(name), 'missing', 'String')
    else if (typeof json[name] !== 'string') problem(problems, pointer + step(name), 'mistyped', 'String')
  }
  if (problems.length > before) return undefined
  const { type: actual, id } = json
  if (typeof id !== 'string') return undefined
  if (actual !== type.name) return problem(problems, pointer + step('type'), 'mistyped', type.name)
  if (type.ids?.includes(id) === false) {
    return problem(problems, pointer + step('id'), 'malformed', `one of ${type.ids.join(', ')}`)
  }
  return entityRef(type.name, id)
}

function readRecord(type: RecordType, json: unknown, pointer: string, problems: Problem[]): CedarRecord | undefined {
  if (!isObject(json)) return mistyped(type, pointer, problems)
  const fields: [string, Value][] = []
  for (const [name, attribute] of type.attributes) {
    if (!Object.hasOwn(json, name)) {
      if (attribute.required) problem(problems, pointer + step(name), 'missing', describe(attribute.type))
      continue
    }
    const value = read(attribute.type, json[name], pointer + step(name), problems)
    if (value !== undefined) fields.push([name, value])
  }
  for (const name of Object.keys(json)) {
    if (type.attributes.has(name)) continue
    const value = type.open
      ? readUntyped(json[name], pointer + step(name), problems)
      : undeclared(problems, pointer, name)
    if (value !== undefined) fields.push([name, value])
  }
  return recordOf(fields)
}

/** In open records there is no type to go by. */
function readUntyped(json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  try {
    return valueFromJson(json as CedarValueJson)
  } catch (error) {
    // RangeError: nested more deeply than the stack allows.
    if (error instanceof FormatError || error instanceof RangeError) {
      return problem(problems, pointer, 'mistyped', 'a Cedar value')
    }
    throw error
  }
}

function readExtension(kind: ExtensionType, json: unknown, pointer: string, problems: Problem[]): Value | undefined {
  const expected = SYNTAX[kind]
  if (typeof json !== 'string') return problem(problems, pointer, 'mistyped', expected)
  const value = callExtension(CONSTRUCTORS[kind], [json])
  return isFault(value) ? problem(problems, pointer, 'malformed', expected) : value
}

const SYNTAX: { readonly [Kind in ExtensionType]: string } = {
  decimal: 'decimal: a number of at most four decimals, or a string such as "12.34"',
  ipaddr: 'ipaddr: a string such as "192.0.2.1" or "2001:db8::/32"',
  datetime: 'datetime: a string such as "2025-01-31T12:00:00Z"',
  duration: 'duration: a string such as "1d12h30m"',
}

/**
 * The number in decimal notation. From 10^11 on, a JavaScript number no longer tells fractions of four decimals apart,
 * so the text that the caller wrote may have been another; it's refused, and the caller can send a string.
 */
function decimalText(json: number): string {
  const text = String(json)
  if (Number.isSafeInteger(json)) return `${text}.0`
  return Math.abs(json) < 1e11 ? text : 'imprecise'
}

function mistyped(type: Type, pointer: string, problems: Problem[]): undefined {
  return problem(problems, pointer, 'mistyped', describe(type))
}

function undeclared(problems: Problem[], pointer: string, name: string): undefined {
  return problem(problems, pointer + step(name), 'undeclared', 'nothing by this name')
}

function problem(problems: Problem[], pointer: string, code: ProblemCode, expected: string): undefined {
  problems.push({ pointer, code, expected })
  return undefined
}

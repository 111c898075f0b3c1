import { formatDatetime, formatDuration } from './datetime.ts'
import { formatDecimal } from './decimal.ts'
import { callExtension, isExtensionName } from './extensions.ts'
import { type Fault, isFault } from './fault.ts'
import { formatIp } from './ip.ts'
import { type CedarValueJson, type EntityUidJson, FormatError, isObject } from './json.ts'
import { toLong } from './long.ts'
import type { Outcome } from './outcome.ts'
import { type EntityRef, entityRef, recordOf, setOf, type Value } from './value.ts'

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

function extension(fn: string, arg: string): CedarValueJson {
  return { __extn: { fn, arg } }
}

function outOfRange(value: bigint): never {
  return fail(`${value} takes more than 64 bits`)
}

function fail(message: string): never {
  throw new FormatError(message)
}

import { callExtension } from './extensions.ts'
import { isFault } from './fault.ts'
import { type CedarValueJson, type ExtensionName, FormatError, isObject } from './json.ts'
import type { ExtensionType, RecordType, Type } from './type.ts'
import { type CedarRecord, recordOf, setOf, type Value } from './value.ts'
import { readEntity, valueFromJson } from './value-json.ts'

/**
 * Reads Cedar's JSON by the type that a schema expects: the escapes of entities and extension values may be left out.
 * This is how Cedar reads entities and contexts; requests of our own API go through `convert`. Throws `FormatError`.
 * Like Cedar's own reader it isn't a validator: where the type calls for no special reading, it takes what it finds.
 */
export function typedFromJson(json: CedarValueJson, type: Type): Value {
  switch (type.kind) {
    case 'entity':
      return readEntity(json) ?? fail('an entity', json)
    case 'set':
      return Array.isArray(json) ? setOf(json.map(item => typedFromJson(item, type.element))) : fail('a set', json)
    case 'record':
      return typedRecord(json, type)
    case 'decimal':
    case 'ipaddr':
    case 'datetime':
    case 'duration':
      return readExtension(json, type.kind)
    default:
      return valueFromJson(json)
  }
}

export function typedRecord(json: CedarValueJson, type: RecordType): CedarRecord {
  if (!isObject(json)) return fail('a record', json)
  const fields: [string, Value][] = []
  for (const [name, value] of Object.entries(json)) {
    const attribute = type.attributes.get(name)
    if (attribute === undefined && !type.open) throw new FormatError(`undeclared attribute ${JSON.stringify(name)}`)
    const field = value as CedarValueJson
    fields.push([name, attribute === undefined ? valueFromJson(field) : typedFromJson(field, attribute.type)])
  }
  return recordOf(fields)
}

export const CONSTRUCTORS: { readonly [K in ExtensionType]: ExtensionName } = {
  decimal: 'decimal',
  ipaddr: 'ip',
  datetime: 'datetime',
  duration: 'duration',
}

/** `"1.5"`, `{fn, arg}` or `{__extn: {fn, arg}}`. */
function readExtension(json: CedarValueJson, type: ExtensionType): Value {
  if (typeof json === 'string') {
    const value = callExtension(CONSTRUCTORS[type], [json])
    if (isFault(value)) throw new FormatError(value.message)
    return value
  }
  const escaped = isObject(json) && 'fn' in json ? { __extn: json } : json
  const value = valueFromJson(escaped)
  return typeof value === 'object' && value.kind === type ? value : fail(`a ${type}`, json)
}

function fail(expected: string, json: CedarValueJson): never {
  throw new FormatError(`expected ${expected}, got ${typeof json === 'bigint' ? json : JSON.stringify(json)}`)
}

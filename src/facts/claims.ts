import { type Conversion, convert } from '../cedar/convert.ts'
import { isObject } from '../cedar/json.ts'
import type { Value } from '../cedar/value.ts'
import { exact, textOf, times } from './exact.ts'
import type { Declared } from './load.ts'

/**
 * Reads what an agent says of a declared fact: a value as the fact's type has it, or `{value, unit}` in one of the units
 * that the declaration knows.
 */
export const readClaim = (declared: Declared, json: unknown, pointer: string): Conversion<Value> => {
  const { type, unit, units } = declared
  const measured = isObject(json) && type.kind !== 'entity' && Object.hasOwn(json, 'unit')
  if (!measured) return convert(type, json, pointer)
  const { unit: claimed, value } = json
  if (claimed === unit && unit !== undefined) return convert(type, value, `${pointer}/value`)
  const factor = typeof claimed === 'string' && Object.hasOwn(units, claimed) ? units[claimed] : undefined
  if (factor === undefined) {
    const known = [...(unit === undefined ? [] : [unit]), ...Object.keys(units)]
    const expected = known.length === 0 ? 'no unit' : known.join(' or ')
    return { ok: false, problems: [{ pointer: `${pointer}/unit`, code: 'malformed', expected }] }
  }
  const number = typeof value === 'number' || typeof value === 'string' ? exact(String(value)) : undefined
  const by = exact(String(factor))
  if (!number || !by)
    return { ok: false, problems: [{ pointer: `${pointer}/value`, code: 'mistyped', expected: 'a number' }] }
  const converted = textOf(times(number, by))
  return convert(type, type.kind === 'long' ? Number(converted) : decimal(converted), `${pointer}/value`)
}

/** Cedar's decimals always have a point. */
const decimal = (text: string): string => (text.includes('.') ? text : `${text}.0`)

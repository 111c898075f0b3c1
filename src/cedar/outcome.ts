import { type Fault, fault, isFault, NEEDS_UNKNOWN } from './fault.ts'
import type { Value } from './value.ts'

/** What evaluating an expression yields. */
export type Outcome = Value | Fault

/** An operand that doesn't fit: faults pass through, unknowns may yet fit, anything else is of the wrong type. */
export function mismatch(expected: string, actual: Outcome): Fault {
  if (isFault(actual)) return actual
  if (typeof actual === 'object' && actual.kind === 'unknown') return NEEDS_UNKNOWN
  return fault('type_mismatch', `expected ${expected}, got ${typeName(actual)}`)
}

export function typeName(value: Value): string {
  switch (typeof value) {
    case 'boolean':
      return 'bool'
    case 'number':
    case 'bigint':
      return 'long'
    case 'string':
      return 'string'
    default:
      return value.kind === 'entity' ? `(entity of type \`${value.type}\`)` : value.kind
  }
}

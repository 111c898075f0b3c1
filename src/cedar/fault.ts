import type { Value } from './value.ts'

/**
 * Why an expression has no value. Evaluation errors are values here, not exceptions: policies that err on every request
 * are ordinary in Cedar, and throwing costs more than evaluating.
 */
export interface Fault {
  readonly kind: 'fault'
  readonly code: FaultCode
  readonly message: string
}

export type FaultCode =
  | 'type_mismatch'
  | 'missing_attribute'
  | 'missing_tag'
  | 'missing_entity'
  | 'overflow'
  | 'extension'
  | 'arity'
  /** The expression nests too deeply for the stack. */
  | 'too_deep'
  /** The policy's JSON isn't an expression. */
  | 'malformed'

/** What evaluating an expression yields. */
export type Outcome = Value | Fault

export function fault(code: FaultCode, message: string): Fault {
  return { kind: 'fault', code, message }
}

export function isFault(outcome: Outcome): outcome is Fault {
  return typeof outcome === 'object' && outcome.kind === 'fault'
}

/** An operand that doesn't fit: a fault or an unknown passes through, anything else is of the wrong type. */
export function mismatch(expected: string, actual: Outcome): Outcome {
  if (typeof actual === 'object' && (actual.kind === 'fault' || actual.kind === 'unknown')) return actual
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

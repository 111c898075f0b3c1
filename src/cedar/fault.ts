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
  /** Not an error: there is no saying without the value of an unknown. */
  | 'unknown'

export function fault(code: FaultCode, message: string): Fault {
  return { kind: 'fault', code, message }
}

export function isFault(outcome: boolean | number | bigint | string | { readonly kind: string }): outcome is Fault {
  return typeof outcome === 'object' && outcome.kind === 'fault'
}

/**
 * What a step yields that needs the value of an unknown. It passes through like any fault. An unknown itself is a value:
 * it can stand in a record, say, and never errs, while a step that needs it may still err.
 */
export const NEEDS_UNKNOWN: Fault = fault('unknown', 'hangs on a value that is not known')

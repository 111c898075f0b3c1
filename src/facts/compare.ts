import type { Type } from '../cedar/type.ts'
import { equals, isSubset, type Value } from '../cedar/value.ts'
import { parseDuration } from '../policy/rate.ts'
import { type Exact, exact, inParts } from './exact.ts'

/** How far two values may be apart and still say the same. */
export type Tolerance = { by: bigint } | { percent: Exact }

/** Reads a tolerance for values of a type; undefined where it makes no sense for them. */
export const readTolerance = (given: number | string, type: Type): Tolerance | undefined => {
  if (type.kind === 'datetime' || type.kind === 'duration') {
    const ms = typeof given === 'string' ? parseDuration(given) : undefined
    return ms === undefined ? undefined : { by: BigInt(ms) }
  }
  if (type.kind !== 'long' && type.kind !== 'decimal') return undefined
  const text = String(given)
  const number = exact(text.endsWith('%') ? text.slice(0, -1) : text)
  if (!number || number.digits < 0n) return undefined
  if (text.endsWith('%')) return { percent: number }
  const by = inParts(number, type.kind === 'decimal' ? 4 : 0)
  return by === undefined ? undefined : { by }
}

/** Whether a claim says what a fact says, or two sources agree. */
export const agrees = (
  claimed: Value,
  fact: Value,
  { tolerance, sets }: { tolerance: Tolerance | undefined; sets: 'equal' | 'within' },
): boolean => {
  if (equals(claimed, fact)) return true
  if (isSet(claimed) && isSet(fact)) return sets === 'within' && isSubset(claimed, fact)
  if (!tolerance) return false
  const [a, b] = [parts(claimed), parts(fact)]
  if (a === undefined || b === undefined) return false
  const apart = abs(a - b)
  if ('by' in tolerance) return apart <= tolerance.by
  const { digits, places } = tolerance.percent
  return apart * 100n * 10n ** BigInt(places) <= abs(b) * digits
}

const isSet = (value: Value) => typeof value === 'object' && value.kind === 'set'

/** What can be measured, in its smallest parts. */
const parts = (value: Value): bigint | undefined => {
  if (typeof value === 'number' || typeof value === 'bigint') return BigInt(value)
  if (typeof value !== 'object') return undefined
  switch (value.kind) {
    case 'decimal':
      return BigInt(value.scaled)
    case 'datetime':
      return BigInt(value.epoch)
    case 'duration':
      return BigInt(value.ms)
    default:
      return undefined
  }
}

const abs = (a: bigint): bigint => (a < 0n ? -a : a)

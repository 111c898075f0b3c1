/**
 * Cedar's Long: a signed 64-bit integer, kept exactly. A `number` when it is a safe integer and a `bigint` only beyond,
 * so almost all arithmetic stays on numbers, each integer has one form, and `===` and `<` mean what they should.
 */
export type Long = number | bigint

export const MAX_LONG = 9223372036854775807n
export const MIN_LONG = -9223372036854775808n

/** Sum, or undefined on overflow. */
export function addLong(a: Long, b: Long): Long | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  return toLong(BigInt(a) + BigInt(b))
}

/** Difference, or undefined on overflow. */
export function subLong(a: Long, b: Long): Long | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b
    if (Number.isSafeInteger(difference)) return difference
  }
  return toLong(BigInt(a) - BigInt(b))
}

/** Product, or undefined on overflow. */
export function mulLong(a: Long, b: Long): Long | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b
    // A true product beyond 2^53 never rounds to a safe integer. `+ 0` turns -0 into 0.
    if (Number.isSafeInteger(product)) return product + 0
  }
  return toLong(BigInt(a) * BigInt(b))
}

/** Quotient by a positive divisor, rounded towards zero. */
export function divLong(a: Long, divisor: number): Long {
  if (typeof a === 'number') return (a - (a % divisor)) / divisor
  return normalized(a / BigInt(divisor))
}

/** Remainder by a positive divisor, from 0 to divisor - 1. */
export function modLong(a: Long, divisor: number): number {
  const remainder = typeof a === 'number' ? a % divisor : Number(a % BigInt(divisor))
  return remainder < 0 ? remainder + divisor : remainder + 0
}

/** The Long of this integer, or undefined when it takes more than 64 bits. */
export function toLong(value: bigint): Long | undefined {
  return value > MAX_LONG || value < MIN_LONG ? undefined : normalized(value)
}

function normalized(value: bigint): Long {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

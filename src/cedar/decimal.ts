import { type Fault, fault } from './fault.ts'
import { type Long, toLong } from './long.ts'

/** A number with four decimals. `scaled` is its value times 10,000. */
export interface Decimal {
  readonly kind: 'decimal'
  readonly scaled: Long
}

const SYNTAX = /^(-?)([0-9]+)\.([0-9]+)$/

export function parseDecimal(text: string): Decimal | Fault {
  const parts = SYNTAX.exec(text)
  if (parts === null) return fault('extension', `\`${text}\` is not a well-formed decimal`)
  const [, sign = '', whole = '', decimals = ''] = parts
  if (decimals.length > 4) return fault('extension', `more than four decimals in \`${text}\``)
  const scaled = toLong(BigInt(sign + whole + decimals.padEnd(4, '0')))
  if (scaled === undefined) return fault('extension', `decimal out of range: \`${text}\``)
  return { kind: 'decimal', scaled }
}

export function formatDecimal({ scaled }: Decimal): string {
  const digits = String(scaled < 0 ? -scaled : scaled).padStart(5, '0')
  return `${scaled < 0 ? '-' : ''}${digits.slice(0, -4)}.${digits.slice(-4)}`
}

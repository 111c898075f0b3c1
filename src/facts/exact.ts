/** A decimal number, kept exactly: `digits` over ten to the power of `places`. */
export type Exact = { digits: bigint; places: number }

/** Reads what JSON and people write, `12`, `-0.5`, `1e3`; undefined for anything else. */
export const exact = (text: string): Exact | undefined => {
  const match = /^(-?)(\d{1,30})(?:\.(\d{1,30}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text)
  if (!match) return undefined
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const places = fraction.length - Number(exponent)
  const digits = BigInt(`${sign}${whole}${fraction}`)
  return places < 0 ? { digits: digits * 10n ** BigInt(-places), places: 0 } : { digits, places }
}

export const times = (a: Exact, b: Exact): Exact => ({ digits: a.digits * b.digits, places: a.places + b.places })

/** In whole parts of ten to the power of -`places`; undefined where that isn't enough to say it. */
export const inParts = ({ digits, places }: Exact, parts: number): bigint | undefined => {
  if (places <= parts) return digits * 10n ** BigInt(parts - places)
  const divisor = 10n ** BigInt(places - parts)
  return digits % divisor === 0n ? digits / divisor : undefined
}

/** As text that reads as the same number, without trailing zeros. */
export const textOf = ({ digits, places }: Exact): string => {
  const text = String(digits < 0n ? -digits : digits).padStart(places + 1, '0')
  const fraction = places === 0 ? '' : text.slice(-places).replace(/0+$/, '')
  const whole = places === 0 ? text : text.slice(0, -places)
  return `${digits < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

/** How many, in how long: a token bucket holds `capacity` and is refilled over `windowMs`. */
export type Rate = { capacity: number; windowMs: number }

/** Reads `20/h` or `5/10m`, the form that `tenant.json` and `@limit` share; undefined for anything else. */
export const parseRate = (text: string): Rate | undefined => {
  const match = /^([1-9]\d{0,6})\/([1-9]\d{0,5})?([smhd])$/.exec(text)
  if (match === null) return undefined
  const [, count = '', times = '1', unit = ''] = match
  return { capacity: Number(count), windowMs: Number(times) * (UNITS[unit] ?? Number.NaN) }
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

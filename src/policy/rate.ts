/** How many, in how long: a token bucket holds `capacity` and is refilled over `windowMs`. */
export type Rate = { capacity: number; windowMs: number }

/** Reads `20/h` or `5/10m`, the form that `tenant.json` and `@limit` share; undefined for anything else. */
export const parseRate = (text: string): Rate | undefined => {
  const match = /^([1-9]\d{0,6})\/(.+)$/.exec(text)
  const windowMs = parseDuration(match?.[2] ?? '')
  return windowMs === undefined ? undefined : { capacity: Number(match?.[1]), windowMs }
}

/** Milliseconds of `15m`, or of `m` alone: one minute. Undefined for anything else. */
export const parseDuration = (text: string): number | undefined => {
  const match = /^([1-9]\d{0,5})?([smhd])$/.exec(text)
  return match === null ? undefined : Number(match[1] ?? 1) * (UNITS[match[2] ?? ''] ?? Number.NaN)
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

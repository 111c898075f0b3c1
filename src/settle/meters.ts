/**
 * Token buckets in whole numbers: a bucket that was drawn from a thousand times holds exactly what arithmetic on paper
 * says, so `20/h` never lets a 21st through, nor forgets one.
 */

/** `capacity` tokens at once, refilled evenly over `windowMs`. */
export type Bucket = { capacity: number; windowMs: number }

/** What is in a bucket at a time. */
export type Level = {
  /** Whole tokens. Below zero where an approval let the agent go over. */
  tokens: number
  /** How much of the next token has come, in parts of which `windowMs` make one token. */
  part: number
  /** The window that `part` counts in. */
  windowMs: number
  at: number
}

/**
 * The level at `now`. A bucket that was never drawn from is full. A capacity or window that a push has changed holds
 * from now on: what is above the new capacity is lost, the time since the last draw counts at the new rate.
 */
export const levelAt = ({ capacity, windowMs }: Bucket, was: Level | undefined, now: number): Level => {
  if (!was) return { tokens: capacity, part: 0, windowMs, at: now }
  const at = Math.max(was.at, now)
  const part = was.windowMs === windowMs ? was.part : 0
  // elapsed × capacity exceeds 2^53 for wide limits over long windows
  const parts = BigInt(at - was.at) * BigInt(capacity) + BigInt(part)
  const tokens = was.tokens + Number(parts / BigInt(windowMs))
  if (tokens >= capacity) return { tokens: capacity, part: 0, windowMs, at }
  return { tokens, part: Number(parts % BigInt(windowMs)), windowMs, at }
}

export const draw = (level: Level, cost: number): Level => ({ ...level, tokens: level.tokens - cost })

/** Whole seconds until `cost` can be drawn; `undefined` where it never can. */
export const retryAfter = (bucket: Bucket, level: Level, cost: number): number | undefined =>
  cost > bucket.capacity ? undefined : Math.ceil(msUntil(bucket, level, cost) / 1000)

/** When the bucket will be full again, and so is as good as one that was never drawn from. */
export const fullAt = (bucket: Bucket, level: Level): number => level.at + msUntil(bucket, level, bucket.capacity)

const msUntil = ({ capacity, windowMs }: Bucket, level: Level, tokens: number): number => {
  const lacking = BigInt(tokens - level.tokens) * BigInt(windowMs) - BigInt(level.part)
  if (lacking <= 0n) return 0
  const rate = BigInt(capacity)
  return Number((lacking + rate - 1n) / rate)
}

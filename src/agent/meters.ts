import { type Bucket, fullAt, type Level } from '../settle/meters.ts'

/** Levels of buckets that were drawn from. A bucket that isn't here is full. */
export const readLevel = ({ sql }: DurableObjectStorage, key: string): Level | undefined =>
  sql.exec<Level>('SELECT tokens, part, window_ms AS windowMs, at FROM meter WHERE key = ?', key).toArray()[0]

export const writeLevel = (storage: DurableObjectStorage, key: string, bucket: Bucket, level: Level): void => {
  storage.sql.exec(
    'INSERT OR REPLACE INTO meter (key, tokens, part, window_ms, at, full_at) VALUES (?, ?, ?, ?, ?, ?)',
    key,
    level.tokens,
    level.part,
    level.windowMs,
    level.at,
    fullAt(bucket, level),
  )
}

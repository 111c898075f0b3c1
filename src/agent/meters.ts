import { type Bucket, fullAt, type Level } from '../settle/meters.ts'
import { emptyAt, type Spent, type Window } from '../settle/windows.ts'

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

/** What was spent in windows. A window that isn't here is empty. */
export const readSpent = ({ sql }: DurableObjectStorage, key: string): Spent | undefined => {
  const [row] = sql.exec<{ at: number; entries: string }>('SELECT at, entries FROM spent WHERE key = ?', key)
  return row && { at: row.at, entries: JSON.parse(row.entries) }
}

export const writeSpent = (storage: DurableObjectStorage, key: string, window: Window, spent: Spent): void => {
  storage.sql.exec(
    'INSERT OR REPLACE INTO spent (key, at, entries, empty_at) VALUES (?, ?, ?, ?)',
    key,
    spent.at,
    JSON.stringify(spent.entries),
    emptyAt(window, spent),
  )
}

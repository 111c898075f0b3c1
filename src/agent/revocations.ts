import type { Lineage } from '../identity/lineage.ts'
import type { RevokeCall } from './call.ts'
import { readSelf } from './self.ts'
import { planSweep } from './sweep.ts'

/** Whether any of what an authority comes from was taken away: wholly, or what was issued before a time. */
export const isTaken = ({ sql }: DurableObjectStorage, { keys, since }: Lineage): boolean =>
  sql
    .exec(
      `SELECT 1 FROM revoked WHERE key IN (SELECT value FROM json_each(?)) AND (before IS NULL OR before >= ?) LIMIT 1`,
      JSON.stringify(keys),
      since,
    )
    .toArray().length > 0

/** Remembers what was taken away, or forgets it. Says at which time of the object this holds for decisions to come. */
export const setRevoked = (
  storage: DurableObjectStorage,
  { key, before, until, lifted, at }: RevokeCall,
  clock: () => number,
): { confirmedAt: number } =>
  storage.transactionSync(() => {
    if (lifted) storage.sql.exec('DELETE FROM revoked WHERE key = ?', key)
    // Of two, the wider one holds.
    else
      storage.sql.exec(
        `INSERT INTO revoked (key, before, until) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET before = max(before, excluded.before), until = max(until, excluded.until)`,
        key,
        before ?? null,
        until,
      )
    planSweep(storage, clock())
    return { confirmedAt: Math.max(at, readSelf(storage)?.head?.at ?? 0) }
  })

import type { Lineage } from '../identity/lineage.ts'
import type { RevokeCall } from './calls/delegate.ts'
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
  { key, before, until, lifted, events, at }: RevokeCall,
  clock: () => number,
): { confirmedAt: number } =>
  storage.transactionSync(() => {
    const { sql } = storage
    if (lifted) {
      // What security events took stays, unless that is meant too.
      sql.exec(`DELETE FROM revoked WHERE key = ? AND (event_before IS NULL OR ?)`, key, Number(events === true))
      sql.exec('UPDATE revoked SET before = event_before WHERE key = ?', key)
    }
    // Of two, the wider one holds.
    else
      sql.exec(
        `INSERT INTO revoked (key, before, event_before, until) VALUES (?1, ?2, ?2, ?3)
         ON CONFLICT DO UPDATE SET before = max(before, ?2), until = max(until, ?3),
           event_before = coalesce(max(event_before, ?2), event_before, ?2)`,
        key,
        before ?? null,
        until,
      )
    planSweep(storage, clock())
    return { confirmedAt: Math.max(at, readSelf(storage)?.head?.at ?? 0) }
  })

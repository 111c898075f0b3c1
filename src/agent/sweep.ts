import { type Handler, plan } from '../durable/due.ts'

/** How often at most, in milliseconds. */
const PAUSE_MS = 10 * 60_000
/** Rows carry the time of decisions, which may be a little behind the object's own. */
const GRACE_MS = 60_000

export const planSweep = (storage: DurableObjectStorage, now: number): void =>
  plan(storage, 'sweep', '', now + PAUSE_MS)

/** Lapsed approvals stay for a while, so that whoever comes too late is told so. */
const LAPSED_MS = 7 * 86_400_000

/** Removes answers that are no longer kept, proofs that are too old and buckets that are full again: all as good as absent. */
export const sweeping = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: () => {
    const before = clock() - GRACE_MS
    storage.sql.exec('DELETE FROM reply WHERE until <= ?', before)
    storage.sql.exec('DELETE FROM proof WHERE until <= ?', before)
    storage.sql.exec('DELETE FROM meter WHERE full_at <= ?', before)
    storage.sql.exec('DELETE FROM step_up WHERE until <= ?', before)
    storage.sql.exec('DELETE FROM resolution WHERE until <= ?', before)
    storage.sql.exec('DELETE FROM approval WHERE until <= ?', before - LAPSED_MS)
  },
  next: () => {
    const { first } = storage.sql
      .exec<{ first: number | null }>(
        `SELECT min(at) AS first FROM (
           SELECT min(until) AS at FROM reply UNION ALL SELECT min(full_at) FROM meter UNION ALL
           SELECT min(until) FROM proof UNION ALL SELECT min(until) FROM step_up UNION ALL
           SELECT min(until) FROM resolution UNION ALL SELECT min(until) + ? FROM approval
         )`,
        LAPSED_MS,
      )
      .one()
    return first === null ? undefined : Math.max(first + GRACE_MS, clock() + PAUSE_MS)
  },
})

import { type Handler, plan } from '../durable/due.ts'
import { planCut } from './session-cut.ts'

/** How often at most, in milliseconds. */
const PAUSE_MS = 10 * 60_000
/** Rows carry the time of decisions, which may be a little behind the object's own. */
const GRACE_MS = 60_000
/** Lapsed approvals stay for a while, so that whoever comes too late is told so. */
const LAPSED_MS = 7 * 86_400_000
/** How long a session is remembered after its last step. */
const SESSION_MS = 30 * 86_400_000

export const planSweep = (storage: DurableObjectStorage, now: number): void =>
  plan(storage, 'sweep', '', now + PAUSE_MS)

/**
 * What is as good as absent from a time on: answers that are no longer kept, proofs that are too old, buckets that are
 * full again, windows in which nothing counts any more, reservations that have become spending, outcomes that were settled
 * long ago, sessions that ended. One statement each: SQLite here takes no more than five in a compound.
 */
const KEPT = [
  { table: 'reply', until: 'until', stays: 0 },
  { table: 'proof', until: 'until', stays: 0 },
  { table: 'meter', until: 'full_at', stays: 0 },
  { table: 'step_up', until: 'until', stays: 0 },
  { table: 'resolution', until: 'until', stays: 0 },
  { table: 'approval', until: 'until', stays: LAPSED_MS },
  { table: 'revoked', until: 'until', stays: 0 },
  // What is left of it must still be taken back.
  { table: 'purse', until: 'until', stays: LAPSED_MS },
  { table: 'spent', until: 'empty_at', stays: 0 },
  { table: 'reservation', until: 'until', stays: 0 },
  { table: 'pending', until: 'until', stays: 0 },
  { table: 'session', until: 'at', stays: SESSION_MS },
] as const

export const sweeping = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: () => {
    const { sql } = storage
    const before = clock() - GRACE_MS
    const ended = 'SELECT id FROM session WHERE at <= ?'
    for (const table of ['session_step', 'session_news', 'session_cut']) {
      sql.exec(`DELETE FROM ${table} WHERE id IN (${ended})`, before - SESSION_MS)
    }
    for (const { table, until, stays } of KEPT) sql.exec(`DELETE FROM ${table} WHERE ${until} <= ?`, before - stays)
    planCut(storage, clock())
  },
  next: () => {
    const ends = KEPT.flatMap(({ table, until, stays }) => {
      const { first } = storage.sql.exec<{ first: number | null }>(`SELECT min(${until}) AS first FROM ${table}`).one()
      return first === null ? [] : [first + stays]
    })
    return ends.length > 0 ? Math.max(Math.min(...ends) + GRACE_MS, clock() + PAUSE_MS) : undefined
  },
})

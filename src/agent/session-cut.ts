import { type Handler, plan } from '../durable/due.ts'
import { type Content, GENESIS, type StoredStep } from './session.ts'
import { cutOf, followed } from './session-trace.ts'

/**
 * A session that never rests is cut: steps that are older than the receipts of what they tell go, and what the first that
 * stays led to is written down, by which its link can still be checked. What was tampered with stays as it is.
 */

/** As long as receipts are kept here, in milliseconds. */
const KEEP_MS = 35 * 86_400_000
/** So many steps at a time, and how long until the next: an object's thread belongs to decisions. */
const STEPS = 500
const PAUSE_MS = 20_000
/** How long at least until it is looked again, where all that was old is gone or has to stay. */
const DAY_MS = 86_400_000

export const planCut = (storage: DurableObjectStorage, now: number): void => {
  if (storage.sql.exec("SELECT 1 FROM due WHERE kind = 'cut'").toArray().length > 0) return
  const at = nextCut(storage, now)
  if (at !== undefined) plan(storage, 'cut', '', at)
}

export const cutting = (storage: DurableObjectStorage, clock: () => number): Handler => {
  let left = STEPS
  return {
    run: () => {
      const before = clock() - KEEP_MS
      for (const id of oldSessions(storage, before)) {
        left -= storage.transactionSync(() => cutSession(storage, id, before, left))
        if (left === 0) return
      }
    },
    next: () => (left === 0 ? clock() + PAUSE_MS : nextCut(storage, clock())),
  }
}

/** Forgets the first steps of a session, `most` at most, and says how many. */
const cutSession = (storage: DurableObjectStorage, id: string, before: number, most: number): number => {
  const { sql } = storage
  const [first, ...rest] = sql
    .exec<StoredStep>(
      'SELECT seq, prev, hash, entry FROM session_step WHERE id = ? ORDER BY seq LIMIT ?',
      id,
      // what is old, and the one that stays
      most + 1,
    )
    .toArray()
  const cut = cutOf(sql, id)
  const content = first && followedRightly(id, undefined, first, cut)
  if (!first || !content || (!cut && first.prev !== GENESIS)) return 0
  const { untold } = sql
    .exec<{ untold: number | null }>('SELECT min(seq) AS untold FROM session_news WHERE id = ?', id)
    .one()
  let stays: { step: StoredStep; content: Content } = { step: first, content }
  for (const step of rest) {
    const { at }: { at: number } = JSON.parse(stays.step.entry)
    // what the session above doesn't know yet it is told with its step
    if (at >= before || stays.step.seq === untold) break
    const linked = step.seq === stays.step.seq + 1 && step.prev === stays.step.hash
    const next = linked && followedRightly(id, stays.content, step)
    if (!next) break
    stays = { step, content: next }
  }
  if (stays.step === first) return 0
  const { state, line } = stays.content
  sql.exec('DELETE FROM session_step WHERE id = ? AND seq < ?', id, stays.step.seq)
  sql.exec(
    'INSERT OR REPLACE INTO session_cut (id, state, line) VALUES (?, ?, ?)',
    id,
    JSON.stringify(state),
    line ? JSON.stringify(line) : null,
  )
  return stays.step.seq - first.seq
}

/** What a step leads to, if its link says so. */
const followedRightly = (
  id: string,
  before: Content | undefined,
  step: StoredStep,
  led?: Content,
): Content | undefined => {
  const next = followed(id, before, step, led)
  return next?.hash === step.hash ? next.content : undefined
}

/** Sessions that begin with a step from before a time. */
const oldSessions = ({ sql }: DurableObjectStorage, before: number): string[] =>
  sql
    .exec<{ id: string }>(`SELECT session.id ${BEGINNINGS} AND json_extract(entry, '$.at') < ?`, before)
    .toArray()
    .map(({ id }) => id)

/** When the first step that is kept of any session will be old. */
const nextCut = ({ sql }: DurableObjectStorage, now: number): number | undefined => {
  const { at } = sql.exec<{ at: number | null }>(`SELECT min(json_extract(entry, '$.at')) AS at ${BEGINNINGS}`).one()
  return at === null ? undefined : Math.max(at + KEEP_MS, now + DAY_MS)
}

/** The first steps of sessions that have more. Of one that can't be read nobody knows when it was. */
const BEGINNINGS = `
  FROM session JOIN session_step AS first ON first.id = session.id
    AND first.seq = (SELECT min(seq) FROM session_step WHERE id = session.id)
  WHERE first.seq < session.seq AND json_valid(entry)`

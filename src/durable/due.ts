/**
 * One table of things to be done later, and the object's one alarm, always set to the earliest of them. The platform
 * gives an alarm up after six failures, so nothing here ever fails it: an item that fails is put off instead.
 */
export const dueTable = `
  CREATE TABLE due (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
  ) WITHOUT ROWID`

/** How items of one kind are done. */
export type Handler = {
  /** Does the work; may run again after it succeeded, so it must be idempotent. Throws to be called again later. */
  run(key: string): void | Promise<void>
  /**
   * When to run again (milliseconds), or `undefined` when nothing is left. Asked in the transaction that puts the item
   * off or removes it, so nothing that came while `run` waited is forgotten.
   */
  next(key: string): number | undefined
}
export type Handlers = Record<string, Handler>

/**
 * Plans an item, in the caller's transaction. One that is planned already stays as it is: more work must not cut a
 * back-off short.
 */
export const plan = (storage: DurableObjectStorage, kind: string, key: string, at: number): void => {
  const { rowsWritten } = storage.sql.exec(
    'INSERT INTO due (kind, key, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    kind,
    key,
    at,
  )
  if (rowsWritten > 0) arm(storage)
}

/**
 * The same where the item may be planned for later already. It comes first then, unless it failed before: more work must
 * not cut a back-off short.
 */
export const hasten = (storage: DurableObjectStorage, kind: string, key: string, at: number): void => {
  plan(storage, kind, key, at)
  const { rowsWritten } = storage.sql.exec(
    'UPDATE due SET at = ?3 WHERE kind = ?1 AND key = ?2 AND at > ?3 AND attempts = 0',
    kind,
    key,
    at,
  )
  if (rowsWritten > 0) arm(storage)
}

/** Sets the alarm to the earliest item. Called in the constructor too, since an alarm may have been given up. */
export const arm = (storage: DurableObjectStorage): void => {
  const { at } = storage.sql.exec<{ at: number | null }>('SELECT min(at) AS at FROM due').one()
  // the promise only says that the write left; the write itself is part of the transaction
  void (at === null ? storage.deleteAlarm() : storage.setAlarm(at))
}

/** Does what is due, one item after the other; for the object's `alarm`. Never throws. */
export const runDue = async (storage: DurableObjectStorage, handlers: Handlers, clock: () => number): Promise<void> => {
  const items = storage.sql
    .exec<Item>('SELECT kind, key, attempts FROM due WHERE at <= ? ORDER BY at LIMIT 100', clock())
    .toArray()
  for (const item of items) {
    try {
      await runItem(storage, item, handlers[item.kind], clock)
    } catch (error) {
      console.warn(`due ${item.kind}: put off after ${item.attempts + 1} attempts: ${error}`)
    }
  }
  arm(storage)
}

type Item = { kind: string; key: string; attempts: number }

const runItem = async (
  storage: DurableObjectStorage,
  { kind, key, attempts }: Item,
  handler: Handler | undefined,
  clock: () => number,
): Promise<void> => {
  const { sql } = storage
  // put off before it is tried: if the object dies in the middle, the alarm for the next attempt is set
  storage.transactionSync(() => {
    const later = clock() + backoff(attempts)
    sql.exec('UPDATE due SET at = ?, attempts = attempts + 1 WHERE kind = ? AND key = ?', later, kind, key)
    arm(storage)
  })
  // while a deployment rolls out, an item may be of a kind that only newer code knows
  if (!handler) throw new Error('no handler')
  await handler.run(key)
  storage.transactionSync(() => {
    const next = handler.next(key)
    if (next === undefined) sql.exec('DELETE FROM due WHERE kind = ? AND key = ?', kind, key)
    else sql.exec('UPDATE due SET at = ?, attempts = 0 WHERE kind = ? AND key = ?', next, kind, key)
  })
}

const FIRST_MS = 2_000
const MOST_MS = 5 * 60_000

/** Doubles up to a cap; half of it is left to chance, so that many objects don't come back at once. */
const backoff = (attempts: number): number =>
  Math.round(Math.min(MOST_MS, FIRST_MS * 2 ** attempts) * (0.5 + Math.random() / 2))

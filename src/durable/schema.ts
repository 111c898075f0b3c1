/**
 * Brings an object's tables up to date; called in its constructor. Steps are numbered by their place and only ever
 * added, and a step only ever adds: while a deployment rolls out, older code runs on what a newer step has made.
 */
export const migrate = (storage: DurableObjectStorage, steps: readonly string[]): void =>
  storage.transactionSync(() => {
    const { sql } = storage
    sql.exec('CREATE TABLE IF NOT EXISTS schema_step (n INTEGER PRIMARY KEY)')
    const { done } = sql.exec<{ done: number }>('SELECT count(*) AS done FROM schema_step').one()
    for (const [index, step] of steps.entries()) {
      if (index < done) continue
      sql.exec(step)
      sql.exec('INSERT INTO schema_step (n) VALUES (?)', index + 1)
    }
  })

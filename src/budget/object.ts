import { DurableObject } from 'cloudflare:workers'
import { migrate } from '../durable/schema.ts'
import { type Book, type Grant, type Lease, lend, look, takeBack } from '../settle/lease.ts'
import type { Entry, Window } from '../settle/windows.ts'

/** What crosses between an agent's object and the coordinator of a budget that it shares. */
export type LendCall = {
  v: 1
  window: Window
  capacity: number
  /** Made by the holder before the call: a call that is made again is lent nothing more. */
  id: string
  cost: number
  want: number
  /** It was spent already, since a human let the holder go over: it counts, whatever is left. */
  over?: true
  /** Milliseconds. */
  now: number
}

export type LookCall = Pick<LendCall, 'v' | 'window' | 'capacity' | 'cost' | 'now'>

export type ReturnCall = {
  v: 1
  id: string
  /** All that was given back of it so far. */
  returned: number
}

const schema: readonly string[] = [
  // What is lent and spent, as `Spent` has it; one row.
  'CREATE TABLE book (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, entries TEXT NOT NULL)',
  `CREATE TABLE lease (
    id TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    idle INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    start INTEGER NOT NULL,
    expires INTEGER NOT NULL
  ) WITHOUT ROWID`,
  'CREATE INDEX lease_ends ON lease (expires)',
]

/** The coordinator of one budget that many agents spend from. */
export class BudgetObject extends DurableObject<object> {
  constructor(ctx: DurableObjectState, env: object) {
    super(ctx, env)
    migrate(ctx.storage, schema)
  }

  lend({ window, capacity, ...ask }: LendCall): Grant {
    return this.ctx.storage.transactionSync(() => {
      const before = this.#read(ask.id, ask.now)
      const { grant, book } = lend(window, capacity, before, ask)
      this.#write(before, book)
      return grant
    })
  }

  /** What there is, and how long until `cost` fits, for those who won't spend it now. */
  look({ window, capacity, ...ask }: LookCall): { left: number; wait?: number } {
    return look(window, capacity, this.#read('', ask.now), ask)
  }

  /** Whoever gives a lease back that isn't known here asked for it in vain; a call that comes late finds it gone. */
  takeBack({ id, returned }: ReturnCall): void {
    this.ctx.storage.transactionSync(() => {
      const before = this.#read(id, Number.POSITIVE_INFINITY)
      const known = before.leases.some(lease => lease.id === id)
      const gone: Lease = { id, amount: 0, idle: 0, returned: 0, start: 0, expires: before.spent?.at ?? 0 }
      this.#write(before, known ? takeBack(before, id, returned) : { ...before, leases: [...before.leases, gone] })
    })
  }

  #read(id: string, now: number): Book {
    const { sql } = this.ctx.storage
    const [row] = sql.exec<{ at: number; entries: string }>('SELECT at, entries FROM book')
    const entries: Entry[] = row ? JSON.parse(row.entries) : []
    const live = Math.min(Math.max(now, row?.at ?? now), Number.MAX_SAFE_INTEGER)
    const leases = sql.exec<Lease>('SELECT * FROM lease WHERE id = ? OR expires > ?', id, live).toArray()
    return { spent: row && { at: row.at, entries }, leases }
  }

  #write(before: Book, { spent, leases }: Book): void {
    const { sql } = this.ctx.storage
    for (const { id, amount, idle, returned, start, expires } of leases) {
      if (before.leases.some(lease => lease.id === id && lease.returned === returned)) continue
      sql.exec('INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?)', id, amount, idle, returned, start, expires)
    }
    if (!spent) return
    sql.exec('INSERT OR REPLACE INTO book VALUES (1, ?, ?)', spent.at, JSON.stringify(spent.entries))
    const [[counting] = [Number.MAX_SAFE_INTEGER]] = spent.entries
    sql.exec(
      'DELETE FROM lease WHERE expires <= ?1 AND (start < ?2 OR returned >= amount OR expires <= ?3)',
      spent.at - LATE_MS,
      counting,
      spent.at - FORGET_MS,
    )
  }
}

/** A call comes no later than so long after its lease has ended, if it comes again. */
const LATE_MS = 10 * 60_000
/**
 * What a holder gives back later than so long after its lease has ended stays spent. Most are forgotten before: once all
 * of a lease has come back, or none of it counts any more.
 */
const FORGET_MS = 40 * 86_400_000

import type { Draw } from '../settle/program.ts'

/** What is left of a grant's counters; `null` where it doesn't count that. Whole numbers. */
export type Purse = { uses: number | null; amount: number | null /** Milliseconds. */; until: number }

type Counter = Draw['counter']

/** What may still be drawn: nothing from a purse that isn't here, has lapsed, or was taken back. */
export const leftIn = (storage: DurableObjectStorage, id: string, counter: Counter, now: number): number => {
  const purse = readPurse(storage, id)
  return purse && !purse.closed && now < purse.until ? (purse[counter] ?? 0) : 0
}

export const readPurse = ({ sql }: DurableObjectStorage, id: string): (Purse & { closed: boolean }) | undefined => {
  const [row] = sql.exec<Purse & { closed: number }>('SELECT uses, amount, until, closed FROM purse WHERE id = ?', id)
  return row && { ...row, closed: row.closed === 1 }
}

/** Of a purse that holds as much: settling has seen to that, in this transaction. */
export const drawFrom = ({ sql }: DurableObjectStorage, { purse, counter, cost }: Draw): void => {
  const column = counter === 'uses' ? 'uses' : 'amount'
  sql.exec(`UPDATE purse SET ${column} = ${column} - ? WHERE id = ?`, cost, purse)
}

/** Puts a purse here, once: after it was taken back (or was never here when it should have been), it stays closed. */
export const openPurse = ({ sql }: DurableObjectStorage, id: string, { uses, amount, until }: Purse): void => {
  sql.exec(
    'INSERT INTO purse (id, uses, amount, until) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    id,
    uses,
    amount,
    until,
  )
}

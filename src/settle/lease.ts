import { type Spent, secondsUntil, spend, spentAt, startOf, total, unspend, type Window } from './windows.ts'

/**
 * Shares of a budget that many agents spend from. The coordinator lends parts of it for a while; whoever holds a part
 * spends it without asking. What is lent counts as spent from the loan on until the last moment at which it may be spent
 * has left the window, so the sum is never exceeded, whatever becomes of a holder; only what a holder gives back, which
 * it then no longer spends, is lent again.
 */
export type Book = {
  spent: Spent | undefined
  /** Those that haven't ended, and the one that is spoken of. */
  leases: readonly Lease[]
}

export type Lease = {
  id: string
  amount: number
  /** What was lent beyond what was needed at once. */
  idle: number
  /** How much was given back. */
  returned: number
  /** Names the entry of the window that the amount counts in. */
  start: number
  expires: number
}

/**
 * How far clocks may be apart, milliseconds. A holder stops so much before its lease ends, and the book counts so much
 * longer.
 */
export const SKEW_MS = 2_000
export const LEASE_MS = 60_000
/** The part of a budget that may lie idle with its holders. Near its end, then, agents are lent just what they need. */
const IDLE_PART = 20

/** `over`: a human has let the holder spend it, whether there is so much or not; it has been spent. */
export type Ask = { id: string; cost: number; want: number; now: number; over?: boolean }

export type Grant =
  | { kind: 'leased'; amount: number; expires: number }
  /** Nothing that would be enough. `wait`: whole seconds until there is, unless there never is. */
  | { kind: 'none'; left: number; wait?: number }

/** Lends what is asked for, once for each id. */
export const lend = (window: Window, capacity: number, book: Book, ask: Ask): { grant: Grant; book: Book } => {
  const earlier = book.leases.find(({ id }) => id === ask.id)
  const spent = countedAt(window, book, ask.now)
  const now = spent.at + SKEW_MS
  const { leases } = book
  const kept = { spent, leases }
  const left = capacity - total(spent)
  if (earlier) {
    const gone = earlier.returned >= earlier.amount
    const { amount, expires } = earlier
    return { grant: gone ? { kind: 'none', left: Math.max(0, left) } : { kind: 'leased', amount, expires }, book: kept }
  }
  if (ask.cost > left && !ask.over) {
    const wait = secondsUntil(window, spent, capacity, ask.cost)
    return { grant: { kind: 'none', left: Math.max(0, left), ...(wait !== undefined && { wait }) }, book: kept }
  }
  const lyingIdle = leases.reduce((sum, lease) => sum + (lease.expires > now ? lease.idle : 0), 0)
  const mayLie = Math.max(0, Math.floor(capacity / IDLE_PART) - lyingIdle)
  const idle = Math.max(0, Math.min(ask.want - ask.cost, mayLie, left - ask.cost))
  const amount = ask.cost + idle
  const expires = now + LEASE_MS
  const start = startOf(window, expires + SKEW_MS)
  const lease: Lease = { id: ask.id, amount, idle, returned: 0, start, expires }
  return {
    grant: { kind: 'leased', amount, expires },
    book: { spent: spend(spent, start, amount), leases: [...leases, lease] },
  }
}

/** What there is to lend, of which nothing is lent. */
export const look = (
  window: Window,
  capacity: number,
  book: Book,
  { cost, now }: Pick<Ask, 'cost' | 'now'>,
): { left: number; wait?: number } => {
  const spent = countedAt(window, book, now)
  const wait = secondsUntil(window, spent, capacity, cost)
  return { left: Math.max(0, capacity - total(spent)), ...(wait !== undefined && { wait }) }
}

/** The book is behind by as much as clocks may be apart: a window that has ended here may not have ended at a holder's. */
const countedAt = (window: Window, { spent }: Book, now: number): Spent => spentAt(window, spent, now - SKEW_MS)

/** Takes back all that a holder has given back of a lease so far. Repeating it changes nothing. */
export const takeBack = (book: Book, id: string, returned: number): Book => {
  const lease = book.leases.find(each => each.id === id)
  if (!lease) return book
  const more = Math.min(returned, lease.amount) - lease.returned
  if (more <= 0 || !book.spent) return book
  const changed = { ...lease, returned: lease.returned + more, idle: Math.max(0, lease.idle - more) }
  return {
    spent: unspend(book.spent, lease.start, more),
    leases: book.leases.map(each => (each === lease ? changed : each)),
  }
}

import type { BudgetObject } from '../budget/object.ts'
import { withDeadline } from '../durable/deadline.ts'
import { type Handler, hasten, plan } from '../durable/due.ts'
import { type Grant, LEASE_MS, SKEW_MS } from '../settle/lease.ts'
import type { Meter, Program, WindowMeter } from '../settle/program.ts'
import { keepOverdraft } from './overdrafts.ts'

/**
 * What the agent holds of budgets that it shares: parts that the coordinator has lent for a while. They are spent here,
 * in the transaction of the decision, up to a little before the lease ends; what is left then goes back.
 */

/**
 * By meter, what its coordinator said: when it will have more to lend, where it hadn't enough; what it has (`elsewhere`)
 * where nothing was borrowed, since nothing is to be spent.
 */
export type Waits = Map<string, { wait?: number; elsewhere?: number }>

/** What coordinators said of late, so that denials don't wear them out: less is left than this, up to then. */
export type Dry = Map<string, { left: number; until: number; wait?: number }>
const DRY_MS = 1_000

type Shared = WindowMeter & { shared: string }

/** Each once, as it is charged once: the same forbid bears on every principal of the chain. */
export const sharedMeters = ({ legs }: Program): Shared[] => {
  const meters = new Map<string, Shared>()
  for (const { permits, forbids } of legs) {
    for (const meter of [...permits, ...forbids].flatMap(rule => rule.meters)) {
      if (!isShared(meter)) continue
      const other = meters.get(meter.key)
      if (!other || other.cost < meter.cost) meters.set(meter.key, meter)
    }
  }
  return [...meters.values()]
}

const isShared = (meter: Meter): meter is Shared => meter.kind === 'window' && meter.shared !== undefined

/** How much is asked for at once, in decisions of the same cost. */
const AHEAD = 8
const DEADLINE_MS = 1_500
/** While one meter's loan was on its way, others may have spent another's. */
const ROUNDS = 3

/**
 * Borrows what the program may cost and the agent doesn't hold. Throws where a coordinator can't be reached: whether
 * there is room is then not known, and nothing may be allowed.
 */
export const borrow = async (
  storage: DurableObjectStorage,
  program: Program,
  budgets: DurableObjectNamespace<BudgetObject>,
  dry: Dry,
  now: () => number,
): Promise<Waits> => {
  const waits: Waits = new Map()
  for (let round = 0; round < ROUNDS; round++) {
    const short = sharedMeters(program).filter(({ key, cost }) => !waits.has(key) && leftOf(storage, key, now()) < cost)
    if (short.length === 0) break
    for (const meter of short) {
      const { key, cost } = meter
      const said = dry.get(key)
      if (said && said.until > now() && cost > said.left) {
        waits.set(key, said)
        continue
      }
      dry.delete(key)
      const refused = await ask(storage, meter, budgets, now())
      if (!refused) continue
      waits.set(key, refused)
      dry.set(key, { ...refused, until: now() + DRY_MS })
    }
  }
  return waits
}

/** What there is of the program's budgets, for a decision that will spend nothing of them. */
export const lookUp = async (
  program: Program,
  budgets: DurableObjectNamespace<BudgetObject>,
  now: number,
): Promise<Waits> => {
  const waits: Waits = new Map()
  for (const { key, shared, window, capacity, cost } of sharedMeters(program)) {
    const found = budgets.getByName(shared).look({ v: 1, window, capacity, cost, now })
    const { left, wait } = await withDeadline<{ left: number; wait?: number }>(found, DEADLINE_MS)
    waits.set(key, { elsewhere: left, ...(wait !== undefined && { wait }) })
  }
  return waits
}

/** The same where it is denied whatever there is. */
export const unasked = (program: Program): Waits =>
  new Map(sharedMeters(program).map(({ key }) => [key, { elsewhere: Number.MAX_SAFE_INTEGER }]))

const ask = async (
  storage: DurableObjectStorage,
  { key, shared, window, capacity, cost }: Shared,
  budgets: DurableObjectNamespace<BudgetObject>,
  now: number,
): Promise<{ left: number; wait?: number } | undefined> => {
  const id = crypto.randomUUID()
  const want = cost * AHEAD
  // noted before it is asked for: should the answer get lost, all of it goes back
  storage.transactionSync(() => {
    storage.sql.exec(
      'INSERT INTO lease (id, key, coordinator, amount, rest, expires, due_back) VALUES (?, ?, ?, 0, 0, ?, ?)',
      id,
      key,
      shared,
      now + LEASE_MS,
      want,
    )
    plan(storage, 'lease', id, now + LEASE_MS)
  })
  const loan = budgets.getByName(shared).lend({ v: 1, window, capacity, id, cost, want, now })
  const grant = await withDeadline<Grant>(loan, DEADLINE_MS)
  if (grant.kind === 'none') {
    storage.sql.exec('DELETE FROM lease WHERE id = ?', id)
    return { left: grant.left, ...(grant.wait !== undefined && { wait: grant.wait }) }
  }
  const { amount, expires } = grant
  storage.sql.exec(
    'UPDATE lease SET amount = ?, rest = ?, expires = ?, due_back = 0 WHERE id = ? AND returned = 0',
    amount,
    amount,
    expires,
    id,
  )
  return undefined
}

/** What an item is settled with of a budget. */
export const heldOf = (storage: DurableObjectStorage, key: string, waits: Waits, now: number) => {
  const { wait, elsewhere = 0 } = waits.get(key) ?? {}
  return {
    left: Math.min(Number.MAX_SAFE_INTEGER, leftOf(storage, key, now) + elsewhere),
    ...(wait !== undefined && { wait }),
  }
}

/** How much of a budget the agent may spend at `now` without asking. */
export const leftOf = ({ sql }: DurableObjectStorage, key: string, now: number): number =>
  sql
    .exec<{ rest: number | null }>(
      'SELECT sum(rest) AS rest FROM lease WHERE key = ? AND expires > ?',
      key,
      now + SKEW_MS,
    )
    .one().rest ?? 0

/**
 * Spends from what is held, what ends first first. The reservation is completed when the decision's receipt is. What is
 * lacking a human has let the agent spend: the coordinator is told of it.
 */
export const spendLease = (
  storage: DurableObjectStorage,
  evaluationId: string,
  { key, cost, shared, ...meter }: WindowMeter,
  waits: Waits,
  now: number,
): void => {
  if (waits.get(key)?.elsewhere !== undefined) throw new Error('spent where nothing was borrowed')
  const held = storage.sql
    .exec<{ id: string; rest: number }>(
      'SELECT id, rest FROM lease WHERE key = ? AND expires > ? AND rest > 0 ORDER BY expires',
      key,
      now + SKEW_MS,
    )
    .toArray()
  let lacking = cost
  for (const { id, rest } of held) {
    const amount = Math.min(lacking, rest)
    if (amount === 0) break
    lacking -= amount
    storage.sql.exec('UPDATE lease SET rest = rest - ? WHERE id = ?', amount, id)
    reserve(storage, { evaluationId, key, amount, lease: id })
  }
  if (lacking === 0 || shared === undefined) return
  const id = crypto.randomUUID()
  storage.sql.exec(
    'INSERT INTO lease (id, key, coordinator, amount, rest, expires, due_back) VALUES (?, ?, ?, ?, 0, ?, 0)',
    id,
    key,
    shared,
    lacking,
    now,
  )
  plan(storage, 'lease', id, now + LEASE_MS)
  reserve(storage, { evaluationId, key, amount: lacking, lease: id })
  keepOverdraft(storage, { lease: id, ...meter, coordinator: shared, amount: lacking, now })
}

const reserve = (
  { sql }: DurableObjectStorage,
  { evaluationId, key, amount, lease }: { evaluationId: string; key: string; amount: number; lease: string },
): void => {
  sql.exec(
    'INSERT INTO reservation (evaluation_id, key, start, amount, lease, until) VALUES (?, ?, 0, ?, ?, 0)',
    evaluationId,
    key,
    amount,
    lease,
  )
}

/** Puts back into a lease what was reserved from it; where that has ended, it goes to the coordinator. */
export const giveBack = (storage: DurableObjectStorage, id: string, amount: number, now: number): void => {
  storage.sql.exec(
    `UPDATE lease SET rest = rest + iif(expires > ?2, ?3, 0), due_back = due_back + iif(expires > ?2, 0, ?3)
     WHERE id = ?1`,
    id,
    now + SKEW_MS,
    amount,
  )
  const lease = find(storage, id)
  // a lease that has ended is put off for as long as something of it is reserved
  if (lease && lease.due_back > lease.returned) hasten(storage, 'lease', id, now)
}

/** Gives back what is left of a lease that has ended, until the coordinator has confirmed it. */
export const givingBack = (
  storage: DurableObjectStorage,
  budgets: DurableObjectNamespace<BudgetObject>,
  clock: () => number,
): Handler => ({
  run: async id => {
    const lease = find(storage, id)
    if (!lease || lease.expires > clock() + SKEW_MS) return
    storage.sql.exec('UPDATE lease SET due_back = due_back + rest, rest = 0 WHERE id = ?', id)
    const { coordinator, due_back, returned } = find(storage, id) ?? lease
    if (due_back === returned) return
    await withDeadline(budgets.getByName(coordinator).takeBack({ v: 1, id, returned: due_back }), DEADLINE_MS)
    storage.sql.exec('UPDATE lease SET returned = ? WHERE id = ?', due_back, id)
  },
  next: id => {
    const lease = find(storage, id)
    if (!lease) return undefined
    if (lease.expires > clock() + SKEW_MS) return lease.expires
    if (lease.due_back > lease.returned || lease.rest > 0) return clock()
    // what is reserved of it may still come back
    const { until } = storage.sql
      .exec<{ until: number | null }>('SELECT max(until) AS until FROM reservation WHERE lease = ?', id)
      .one()
    if (until !== null) return Math.max(until, clock()) + SWEEP_MS
    storage.sql.exec('DELETE FROM lease WHERE id = ?', id)
    return undefined
  },
})

/** Reservations that are over are swept away after so long. */
const SWEEP_MS = 15 * 60_000

type Row = { coordinator: string; rest: number; expires: number; due_back: number; returned: number }

const find = ({ sql }: DurableObjectStorage, id: string): Row | undefined =>
  sql.exec<Row>('SELECT coordinator, rest, expires, due_back, returned FROM lease WHERE id = ?', id).toArray()[0]

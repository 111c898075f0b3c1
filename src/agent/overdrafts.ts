import type { BudgetObject, LendCall } from '../budget/object.ts'
import { withDeadline } from '../durable/deadline.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { Grant } from '../settle/lease.ts'
import type { WindowMeter } from '../settle/program.ts'

/**
 * What a human let the agent spend beyond a budget that it shares. It is spent with the decision, and counts for all as
 * soon as the coordinator hears of it: as a lease of which nothing is left, so it can come back like any other.
 */

/** How long the coordinator may take, in milliseconds. */
const DEADLINE_MS = 1_500

/** Notes what the coordinator has to be told, in the decision's transaction. */
export const keepOverdraft = (
  storage: DurableObjectStorage,
  {
    lease,
    coordinator,
    window,
    capacity,
    amount,
    now,
  }: Pick<WindowMeter, 'window' | 'capacity'> & { lease: string; coordinator: string; amount: number; now: number },
): void => {
  const told: LendCall = { v: 1, id: lease, window, capacity, cost: amount, want: amount, over: true, now }
  storage.sql.exec('INSERT INTO overdraft VALUES (?, ?, ?)', lease, coordinator, JSON.stringify(told))
  plan(storage, 'overdraft', lease, now)
}

/** Tells the coordinator, until it has confirmed. */
export const tellingOverdrafts = (
  { sql }: DurableObjectStorage,
  budgets: DurableObjectNamespace<BudgetObject>,
): Handler => ({
  run: async lease => {
    const [row] = sql.exec<{ coordinator: string; told: string }>(
      'SELECT coordinator, told FROM overdraft WHERE lease = ?',
      lease,
    )
    if (!row) return
    const told: LendCall = JSON.parse(row.told)
    await withDeadline<Grant>(budgets.getByName(row.coordinator).lend(told), DEADLINE_MS)
    sql.exec('DELETE FROM overdraft WHERE lease = ?', lease)
  },
  next: () => undefined,
})

import { unspend } from '../settle/windows.ts'
import { giveBack } from './leases.ts'
import { readSpent } from './meters.ts'

/** Gives back what a decision had reserved, to the agent's own windows or to leases, and says how much that was. */
export const freeReservations = (storage: DurableObjectStorage, evaluationId: string, now: number): number => {
  const rows = storage.sql
    .exec<{ key: string; start: number; amount: number; lease: string }>(
      'DELETE FROM reservation WHERE evaluation_id = ? RETURNING key, start, amount, lease',
      evaluationId,
    )
    .toArray()
  for (const { key, start, amount, lease } of rows) {
    if (lease !== '') {
      giveBack(storage, lease, amount, now)
      continue
    }
    const spent = readSpent(storage, key)
    if (!spent) continue
    const entries = JSON.stringify(unspend(spent, start, amount).entries)
    storage.sql.exec('UPDATE spent SET entries = ? WHERE key = ?', entries, key)
  }
  return rows.reduce((sum, { amount }) => sum + amount, 0)
}

import { plan } from '../durable/due.ts'
import { migrate } from '../durable/schema.ts'
import type { OpenCall } from './call.ts'
import { enqueue } from './deliveries.ts'
import { schema } from './schema.ts'
import { readOpen } from './state.ts'

/** How long a task can be asked for after it is over; so long its idempotency holds too. */
export const KEEP_MS = 24 * 3_600_000

/** Makes the escalation, with everything that its time will bring. Again is no harm: the first request stands. */
export const open = (storage: DurableObjectStorage, call: OpenCall): void => {
  migrate(storage, schema)
  storage.transactionSync(() => {
    if (readOpen(storage)) return
    storage.sql.exec(
      "INSERT INTO escalation (one, open, status, handle_until) VALUES (1, ?, 'pending', ?)",
      JSON.stringify(call),
      call.expiresAt,
    )
    plan(storage, 'expire', '', call.expiresAt)
    plan(storage, 'index', '', call.at)
    for (const group of new Set(call.requirements.map(requirement => requirement.group)))
      enqueue(storage, call, 'requested', group, call.at)
    for (const { policy, chain, remindMs } of call.requirements) {
      for (const [step, { afterMs }] of chain.entries())
        plan(storage, 'pass_on', JSON.stringify([policy, step]), call.at + afterMs)
      if (remindMs !== undefined) plan(storage, 'remind', policy, call.at + remindMs)
    }
  })
}

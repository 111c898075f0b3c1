import { randomBytes } from 'node:crypto'
import { type Handler, plan } from '../durable/due.ts'
import type { DeliveryEvent, OpenCall, Target } from './call.ts'
import { type DeliveryRow, readOpen, readState } from './state.ts'

/** Messages to webhooks, kept until they were taken or given up. All in the caller's transaction. */

/** Tells a group that something waits for it. */
export const enqueue = (
  storage: DurableObjectStorage,
  open: OpenCall,
  event: DeliveryEvent,
  group: string,
  at: number,
): void => {
  for (const target of open.notify[group] ?? []) insert(storage, { event, target, group, at })
}

/** Tells the PEP that asked for it that its request is over. */
export const enqueueCallback = (storage: DurableObjectStorage, at: number): void => {
  const found = readOpen(storage)
  const callback = found?.open.callback
  if (!callback || (callback.events && !callback.events.includes(found.status))) return
  insert(storage, { event: 'callback', target: callback.target, at })
}

/** Sends a dead one again, from the beginning of its patience. The id stays. */
export const replay = (storage: DurableObjectStorage, id: string, at: number): boolean =>
  storage.transactionSync(() => {
    const { rowsWritten } = storage.sql.exec(
      "UPDATE delivery SET status = 'pending', tries = 0, next = ? WHERE id = ? AND status = 'dead'",
      at,
      id,
    )
    if (rowsWritten === 0) return false
    plan(storage, 'send', id, at)
    plan(storage, 'index', '', at)
    return true
  })

/** Reminds the groups of one forbid, until it is answered. */
export const reminding = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: policy => {
    const waiting = stillWaits(storage, policy)
    if (!waiting) return
    const { open, requirement } = waiting
    const asked = requirement.chain.filter(({ afterMs }) => clock() >= open.at + afterMs).map(({ group }) => group)
    storage.transactionSync(() => {
      for (const group of new Set([requirement.group, ...asked])) enqueue(storage, open, 'reminded', group, clock())
    })
  },
  next: policy => {
    const waiting = stillWaits(storage, policy)
    const every = waiting?.requirement.remindMs
    if (!waiting || every === undefined || clock() + every >= waiting.open.expiresAt) return undefined
    return clock() + every
  },
})

/** Asks the next group of a chain. */
export const passingOn = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: key => {
    const [policy, step]: [string, number] = JSON.parse(key)
    const waiting = stillWaits(storage, policy)
    const next = waiting?.requirement.chain[step]
    if (!waiting || !next) return
    storage.transactionSync(() => enqueue(storage, waiting.open, 'passed_on', next.group, clock()))
  },
  next: () => undefined,
})

const stillWaits = (storage: DurableObjectStorage, policy: string) => {
  const state = readState(storage)
  if (state?.status !== 'pending') return undefined
  const { open, votes } = state
  const requirement = open.requirements.find(one => one.policy === policy)
  const given = votes.filter(({ vote, counts }) => vote === 'approve' && counts.includes(policy)).length
  return requirement && given < requirement.approvals ? { open, requirement } : undefined
}

const insert = (
  storage: DurableObjectStorage,
  { event, target, group, at }: { event: DeliveryEvent; target: Target; group?: string; at: number },
): void => {
  const id = `msg_${randomBytes(18).toString('base64url')}`
  storage.sql.exec(
    "INSERT INTO delivery (id, event, target, grp, at, status, next) VALUES (?, ?, ?, ?, ?, 'pending', ?)",
    id,
    event,
    JSON.stringify(target),
    group ?? null,
    at,
    at,
  )
  plan(storage, 'send', id, at)
  plan(storage, 'index', '', at)
}

export const readDelivery = ({ sql }: DurableObjectStorage, id: string): DeliveryRow | undefined =>
  sql.exec<DeliveryRow>('SELECT * FROM delivery WHERE id = ?', id).toArray()[0]

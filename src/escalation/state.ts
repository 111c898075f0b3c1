import type { Attempt, Delivery, EscalationState, OpenCall, Status, Target, Vote } from './call.ts'
import { exists } from './schema.ts'

/** `undefined` where no request was ever made. */
export const readState = (storage: DurableObjectStorage): EscalationState | undefined => {
  if (!exists(storage)) return undefined
  const [row] = storage.sql.exec<Row>('SELECT * FROM escalation').toArray()
  if (!row) return undefined
  return {
    open: JSON.parse(row.open),
    status: row.status,
    handleUntil: row.handle_until,
    ...(row.decided_at !== null && { decidedAt: row.decided_at }),
    ...(row.erased_at !== null && { erasedAt: row.erased_at }),
    ...(row.approval !== null && { approval: JSON.parse(row.approval) }),
    votes: readVotes(storage),
    deliveries: readDeliveries(storage),
  }
}

/** What the object itself needs most often: less than `readState`. */
export const readOpen = (storage: DurableObjectStorage): { open: OpenCall; status: Status } | undefined => {
  if (!exists(storage)) return undefined
  const [row] = storage.sql.exec<Pick<Row, 'open' | 'status'>>('SELECT open, status FROM escalation').toArray()
  return row && { open: JSON.parse(row.open), status: row.status }
}

export const isOver = (status: Status): boolean => status !== 'pending' && status !== 'approving'

export const readVotes = ({ sql }: DurableObjectStorage): Vote[] =>
  sql
    .exec<VoteRow>('SELECT * FROM vote ORDER BY at, approver')
    .toArray()
    .map(({ approver, vote, reason, at, counts, signed_in, scope, shown, facts }) => ({
      approver,
      vote,
      at,
      counts: JSON.parse(counts),
      signedIn: signed_in === 1,
      ...(reason !== null && { reason }),
      ...(scope !== null && { scope: JSON.parse(scope) }),
      ...(shown !== null && { shown }),
      ...(facts !== null && { facts: JSON.parse(facts) }),
    }))

const readDeliveries = ({ sql }: DurableObjectStorage): Delivery[] => {
  const attempts = new Map<string, Attempt[]>()
  const rows = sql.exec<{ delivery: string; at: number; status: number | null; error: string | null }>(
    'SELECT delivery, at, status, error FROM attempt ORDER BY delivery, n',
  )
  for (const { delivery, at, status, error } of rows) {
    const list = attempts.get(delivery) ?? []
    list.push({ at, ...(status !== null && { status }), ...(error !== null && { error }) })
    attempts.set(delivery, list)
  }
  return sql
    .exec<DeliveryRow>('SELECT * FROM delivery ORDER BY at, id')
    .toArray()
    .map(({ id, event, target, grp, at, status }) => {
      const { webhook, approver }: Target = JSON.parse(target)
      return {
        id,
        event,
        webhook,
        at,
        status,
        attempts: attempts.get(id) ?? [],
        ...(grp !== null && { group: grp }),
        ...(approver && { approver }),
      }
    })
}

type Row = {
  open: string
  status: Status
  decided_at: number | null
  withdrawn: string | null
  handle_until: number
  approval: string | null
  changes: number
  erased_at: number | null
}

type VoteRow = {
  approver: string
  vote: Vote['vote']
  reason: string | null
  at: number
  counts: string
  signed_in: number
  scope: string | null
  shown: string | null
  facts: string | null
}

export type DeliveryRow = {
  id: string
  event: Delivery['event']
  target: string
  grp: string | null
  at: number
  status: Delivery['status']
  tries: number
  next: number
}

import { uuidv7 } from 'uuidv7'
import type { Body, DecisionRecord, Resolution, Secrets } from '../audit/receipt.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { Decided, DecideItem } from './calls/decide.ts'
import type { Needed, Waiting } from './calls/waits.ts'
import { append } from './chain.ts'
import { receiptAt } from './receipts.ts'
import { readSelf } from './self.ts'

/**
 * Deferred decisions, and how their waits end: what they wait for arrives (`ready`), another evaluation takes the action
 * up again (`continued`), or their time runs out, which is a denial on record (`expired`).
 */
type Row = {
  evaluation_id: string
  /** Hash of the action, so that only the same one takes it up. */
  intent: string
  seq: number
  until: number
  state: Waiting['state']
  /** JSON: the names that it waits for, and those among them that the ledger could give. */
  names: string
  needs: string
  /** The evaluation that took it up, or the denial. */
  by: string | null
}

export const waitTable = `
  CREATE TABLE wait (
    evaluation_id TEXT PRIMARY KEY,
    intent TEXT NOT NULL,
    seq INTEGER NOT NULL,
    until INTEGER NOT NULL,
    state TEXT NOT NULL,
    names TEXT NOT NULL,
    needs TEXT NOT NULL,
    by TEXT
  ) WITHOUT ROWID`

/** States in which nothing has come yet. */
const WAITING: readonly Waiting['state'][] = ['open', 'asked']

/** How long the end of a wait is remembered, in milliseconds. */
const KEEP_MS = 7 * 86_400_000

/**
 * Begins the wait of a decision, in its receipt's transaction. What a human has to lift waits elsewhere, and ends there:
 * here only what takes it up again is noted.
 */
export const keepWait = (storage: DurableObjectStorage, item: DecideItem, decided: Decided): void => {
  const { missing, waitUntil } = decided
  const until = waitUntil ?? decided.at + KEEP_MS
  const needs = (item.wait?.needs ?? []).filter(({ name }) => missing.includes(name))
  storage.sql.exec(
    'INSERT INTO wait (evaluation_id, intent, seq, until, state, names, needs) VALUES (?, ?, ?, ?, ?, ?, ?)',
    item.evaluationId,
    item.actionHash,
    decided.receipt.seq,
    until,
    waitUntil === undefined ? 'asked' : 'open',
    JSON.stringify(missing),
    JSON.stringify(needs),
  )
  plan(storage, 'wait', item.evaluationId, until)
}

export const readWait = (storage: DurableObjectStorage, evaluationId: string): Waiting | undefined => {
  const row = rowOf(storage, evaluationId)
  return (
    row && {
      state: row.state,
      until: row.until,
      needs: needsIn(row),
      ...(row.by !== null && { by: row.by }),
    }
  )
}

/** Whether an answer that deferred no longer holds, since its wait has ended. */
export const hasEnded = (storage: DurableObjectStorage, evaluationId: string): boolean =>
  !WAITING.includes(rowOf(storage, evaluationId)?.state ?? 'open')

/** Notes that what it waited for may be there. Only a new evaluation says whether it is enough. */
export const wake = ({ sql }: DurableObjectStorage, evaluationId: string): void => {
  sql.exec("UPDATE wait SET state = 'ready' WHERE evaluation_id = ? AND state = 'open'", evaluationId)
}

/** Takes a decision of the very same action up again; says how its wait ended, if there was one that still waits. */
export const takeUp = (storage: DurableObjectStorage, item: DecideItem): Resolution | undefined => {
  if (item.continues === undefined) return undefined
  const row = rowOf(storage, item.continues)
  if (!row || row.intent !== item.actionHash || !(row.state === 'ready' || WAITING.includes(row.state)))
    return undefined
  storage.sql.exec(
    "UPDATE wait SET state = 'continued', by = ? WHERE evaluation_id = ?",
    item.evaluationId,
    item.continues,
  )
  return row.state === 'ready' ? 'arrived' : 'asked_again'
}

/** Wakes the decisions that wait for an evaluation, or for one that it took up again. */
export const wakeDependents = (storage: DurableObjectStorage, evaluationId: string): void => {
  for (const id of [evaluationId, ...takenUpBy(storage, evaluationId)]) {
    const rows = storage.sql
      .exec<{ evaluation_id: string }>(
        "SELECT evaluation_id FROM wait WHERE state = 'open' AND EXISTS (SELECT 1 FROM json_each(names) WHERE value = ?)",
        afterName(id),
      )
      .toArray()
    for (const { evaluation_id } of rows) wake(storage, evaluation_id)
  }
}

/** What a dependence is called among the names that are missing. */
export const afterName = (evaluationId: string): string => `after.${evaluationId}`

/** Ends waits whose time is over: each with the receipt of a denial that names the deferred decision. */
export const expiring = (storage: DurableObjectStorage, clock: () => number): Handler => ({
  run: evaluationId => {
    storage.transactionSync(() => {
      const row = rowOf(storage, evaluationId)
      if (!row || row.until > clock() || (row.state !== 'open' && row.state !== 'ready')) return
      expire(storage, row, clock)
      wakeDependents(storage, evaluationId)
    })
  },
  next: evaluationId => {
    const row = rowOf(storage, evaluationId)
    if (!row) return undefined
    if (row.until > clock()) return row.until
    if (row.until + KEEP_MS > clock()) return row.until + KEEP_MS
    storage.sql.exec('DELETE FROM wait WHERE evaluation_id = ?', evaluationId)
    return undefined
  },
})

const expire = (storage: DurableObjectStorage, row: Row, clock: () => number): void => {
  const self = readSelf(storage)
  if (!self || self.fork) return
  const deferred = receiptAt(storage, row.seq)
  const { decision, ...asked }: Body & { decision?: DecisionRecord } = JSON.parse(deferred?.body ?? '{}')
  const evaluationId = uuidv7()
  const denial: DecisionRecord = {
    evaluation_id: evaluationId,
    outcome: 'deny',
    reason: 'wait_expired',
    policies: decision?.policies ?? [],
    missing: JSON.parse(row.names),
    bundle: decision?.bundle ?? self.bundle ?? { seq: 0, hash: '' },
    continues: row.evaluation_id,
    resolution: 'timed_out',
  }
  const secrets: Secrets = JSON.parse(deferred?.secrets ?? '{}')
  append(
    storage,
    self,
    {
      kind: 'expiry',
      at: Math.max(clock(), self.head?.at ?? 0),
      body: { agent: self.agent, ...only(WHO, asked), decision: denial },
      secrets: only(WHO, secrets),
    },
    clock,
  )
  storage.sql.exec("UPDATE wait SET state = 'expired', by = ? WHERE evaluation_id = ?", evaluationId, row.evaluation_id)
}

/** Who asked, for whom and by what right, and for what: a denial says it of whoever was deferred. */
const WHO: readonly string[] = [
  'agent',
  'delegated_by',
  'groups',
  'roles',
  'issuer',
  'session',
  'caller',
  'user',
  'action',
  'resource',
  'resource_type',
]

const only = <T>(names: readonly string[], of: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(of).filter(([name]) => names.includes(name)))

const rowOf = ({ sql }: DurableObjectStorage, evaluationId: string): Row | undefined =>
  sql.exec<Row>('SELECT * FROM wait WHERE evaluation_id = ?', evaluationId).toArray()[0]

/** The evaluations that this one took up, one after the other. */
const takenUpBy = ({ sql }: DurableObjectStorage, evaluationId: string): string[] => {
  const ids: string[] = []
  for (let id: string | undefined = evaluationId; id !== undefined && ids.length < 100; ) {
    const rows: { evaluation_id: string }[] = sql
      .exec<{ evaluation_id: string }>("SELECT evaluation_id FROM wait WHERE by = ? AND state = 'continued'", id)
      .toArray()
    id = rows[0]?.evaluation_id
    if (id !== undefined) ids.push(id)
  }
  return ids
}

const needsIn = ({ needs }: Row): Needed[] => JSON.parse(needs)

import { randomBytes } from 'node:crypto'
import type { Settlement } from '../settle/settle.ts'
import type { RequestCall, RequestReply, StepUp } from './calls/approvals.ts'
import type { DecideItem } from './calls/decide.ts'

/**
 * Decisions that wait for a human. The row says what an approval would bind; a request for one is made from it, so
 * nothing that a requester sends can change what is approved.
 */

/** How long a denial can be requested. */
export const HINT_MS = 10 * 60_000
/** A request waits for at most 30 days, and what came of it is told for a while longer. */
const KEEP_MS = 40 * 86_400_000

export const keepStepUp = (
  storage: DurableObjectStorage,
  item: DecideItem,
  settled: Pick<Settlement, 'policies'>,
  at: { seq: number; now: number },
): void => {
  // A Worker of an earlier version says nothing that an approval could bind: there the denial is just that.
  if (!item.binding) return
  const stepUp = { ...item.binding, forbids: forbidsOf(item, settled), expiresAt: hintUntil(at.now) }
  putStepUp(storage, item.evaluationId, stepUp, at.seq)
}

export const putStepUp = ({ sql }: DurableObjectStorage, evaluationId: string, stepUp: StepUp, seq: number): void => {
  sql.exec(
    'INSERT INTO step_up (evaluation_id, until, seq, terms) VALUES (?, ?, ?, ?)',
    evaluationId,
    stepUp.expiresAt,
    seq,
    JSON.stringify(stepUp),
  )
}

/** Whole seconds: a token's `exp` says the same. */
export const hintUntil = (now: number): number => Math.floor((now + HINT_MS) / 1000) * 1000

export const forbidsOf = ({ program }: DecideItem, { policies }: Pick<Settlement, 'policies'>): StepUp['forbids'] => {
  const rules = program.legs.flatMap(leg => leg.forbids)
  return policies.map(policy => {
    const liftable = rules.find(rule => rule.policy === policy && rule.liftable)?.liftable
    if (!liftable) throw new Error(`policy ${policy} asks for a human and can't be lifted`)
    return { policy, ...liftable }
  })
}

/** Gives a denied evaluation the one task that its request will have, however often it is made. */
export const openRequest = (storage: DurableObjectStorage, { evaluationId, at }: RequestCall): RequestReply => {
  const { sql } = storage
  const [row] = sql
    .exec<{ task: string | null; terms: string }>(
      'SELECT task, terms FROM step_up WHERE evaluation_id = ?',
      evaluationId,
    )
    .toArray()
  if (!row) return { kind: 'unknown' }
  if (row.task !== null) return { kind: 'open', task: row.task, stepUp: row.terms }
  const { expiresAt }: StepUp = JSON.parse(row.terms)
  if (at > expiresAt + SKEW_MS) return { kind: 'expired' }
  if (tooManyWait(storage)) return { kind: 'too_many' }
  const task = randomBytes(32).toString('base64url')
  sql.exec('UPDATE step_up SET task = ?, until = ? WHERE evaluation_id = ?', task, at + KEEP_MS, evaluationId)
  return { kind: 'open', task, stepUp: row.terms }
}

export const tooManyWait = ({ sql }: DurableObjectStorage): boolean => {
  const { waiting } = sql
    .exec<{ waiting: number }>(
      'SELECT count(*) AS waiting FROM step_up WHERE task IS NOT NULL AND task NOT IN (SELECT task FROM resolution)',
    )
    .one()
  return waiting >= MOST_WAITING
}

/** Of one agent. Humans who are asked without end approve without looking. */
const MOST_WAITING = 50

/** How far the clocks of those who send a request may be behind. */
const SKEW_MS = 30_000

import { type Body, clearValue, commitmentsOf, type DecisionRecord, type Secret } from '../audit/receipt.ts'
import type { DecideItem } from './calls/decide.ts'
import type { OutcomeCall, OutcomeReply } from './calls/outcomes.ts'
import { append } from './chain.ts'
import { findPending, type Pending, unknownOf } from './pending.ts'
import { intentAt, receiptAt, unflushedDecision } from './receipts.ts'
import { freeReservations } from './reservations.ts'
import { readSelf } from './self.ts'
import { secret } from './standing.ts'
import { planSweep } from './sweep.ts'

/**
 * Takes down what became of an action, in a receipt that names the decision's. The agent's own word does its duty to
 * report, and where it says `unknown` it is believed, since that only holds things up; only a trusted word frees what
 * was reserved, or settles what was unknown.
 */
export const report = (storage: DurableObjectStorage, call: OutcomeCall, clock: () => number): OutcomeReply =>
  storage.transactionSync(() => take(storage, call, clock))

/**
 * Takes down what a fact at hand says of decisions of an item's intent whose outcome nobody knew. Says whether there
 * was one: then the chain has grown. Within the transaction of the item's own decision.
 */
export const settleUnknown = (
  storage: DurableObjectStorage,
  { came, ...named }: Pick<DecideItem, 'actionHash' | 'intent' | 'came'>,
  at: number,
  clock: () => number,
): boolean => {
  if (!came) return false
  const replies = unknownOf(storage, named).map(evaluationId =>
    take(storage, { v: 1, evaluationId, trusted: true, at, ...came }, clock),
  )
  return replies.some(({ kind }) => kind === 'recorded')
}

const take = (storage: DurableObjectStorage, call: OutcomeCall, clock: () => number): OutcomeReply => {
  const self = readSelf(storage)
  const pending = findPending(storage, call.evaluationId)
  const first = pending ?? decisionAt(storage, call)
  if (!self || self.fork || !first) return { kind: 'not_found' }
  if ('denied' in first) return { kind: 'not_permitted' }
  if (call.fact && call.fact.observedAt <= (receiptAt(storage, first.seq)?.at ?? Number.POSITIVE_INFINITY)) {
    return { kind: 'earlier' }
  }

  const reply = replyBefore(storage, pending, call)
  if (reply) return reply

  const now = Math.max(call.at, self.head?.at ?? 0)
  const claim = !call.trusted
  const freed = claim ? 0 : closeReservations(storage, call, now)
  const secrets: Record<string, Secret> = {
    caller: secret(call.by),
    ...(call.fact && { fact: secret(call.fact) }),
    ...(call.note !== undefined && { note: secret(call.note) }),
    ...(call.resultHash !== undefined && { result_hash: secret(call.resultHash) }),
  }
  const body: Body = {
    agent: self.agent,
    of: { evaluation_id: call.evaluationId, seq: first.seq, hash: first.hash },
    outcome: call.outcome,
    claim,
    ...(freed > 0 && { freed }),
    ...commitmentsOf(secrets),
  }
  const { seq: own, hash } = append(storage, self, { kind: 'outcome', at: now, body, secrets }, clock)
  keep(storage, call, first, own)
  planSweep(storage, clock())
  const receipt = { seq: own, hash }
  return { kind: 'recorded', outcome: call.outcome, claim, freed, at: now, receipt }
}

/**
 * The reply to a report that changes nothing: one that was made before, or that contradicts a word of more weight. A
 * trusted word settles what was unknown or claimed; a claim may only become less sure of itself, since an agent that
 * wants to do a thing twice would say that it had failed.
 */
const replyBefore = (
  storage: DurableObjectStorage,
  pending: Pending | undefined,
  { outcome, trusted }: OutcomeCall,
): OutcomeReply | undefined => {
  const before = pending?.outcome
  if (!pending || before === undefined) return undefined
  const outweighs = pending.claim ? trusted || outcome === 'unknown' : trusted && before === 'unknown'
  if (before === outcome && !(pending.claim && trusted)) {
    const earlier = pending.reportedSeq === undefined ? undefined : receiptAt(storage, pending.reportedSeq)
    if (!earlier) return { kind: 'settled', outcome: before }
    const { freed = 0 }: { freed?: number } = JSON.parse(earlier.body)
    const { seq, hash, at } = earlier
    return { kind: 'recorded', outcome, claim: pending.claim, freed, at, receipt: { seq, hash } }
  }
  return outweighs ? undefined : { kind: 'settled', outcome: before }
}

/** A decision of which nothing is awaited, by its receipt. */
const decisionAt = (
  storage: DurableObjectStorage,
  { seq, evaluationId }: OutcomeCall,
): { seq: number; hash: string; intent: string } | { denied: true } | undefined => {
  const receipt = seq === undefined ? unflushedDecision(storage, evaluationId) : receiptAt(storage, seq)
  if (receipt?.kind !== 'decision') return undefined
  const { decision }: { decision: DecisionRecord } = JSON.parse(receipt.body)
  if (decision.evaluation_id !== evaluationId) return undefined
  if (decision.outcome !== 'allow' && decision.outcome !== 'modify') return { denied: true }
  const intent = intentAt(storage, receipt.seq) ?? clearValue(JSON.parse(receipt.secrets), 'action_hash')
  return { seq: receipt.seq, hash: receipt.hash, intent: typeof intent === 'string' ? intent : '' }
}

/** How long a settled outcome is remembered, so that a later one can't contradict it; milliseconds. */
const KEEP_MS = 30 * 86_400_000

const keep = (
  storage: DurableObjectStorage,
  call: OutcomeCall,
  first: Pending | { seq: number; hash: string; intent: string },
  reportedSeq: number,
): void => {
  const { outcome, evaluationId } = call
  // an unknown outcome is remembered until it is settled
  const until = outcome === 'unknown' ? null : call.at + KEEP_MS
  if ('intent' in first) {
    storage.sql.exec(
      'INSERT INTO pending (evaluation_id, seq, hash, action_hash) VALUES (?, ?, ?, ?)',
      evaluationId,
      first.seq,
      first.hash,
      first.intent,
    )
  }
  storage.sql.exec(
    'UPDATE pending SET outcome = ?, claim = ?, reported_seq = ?, overdue = 0, until = ? WHERE evaluation_id = ?',
    outcome,
    Number(!call.trusted),
    reportedSeq,
    until,
    evaluationId,
  )
}

/** What was reserved is spent, unless nothing was done; what is already spent stays so. Says how much came free. */
const closeReservations = (
  storage: DurableObjectStorage,
  { evaluationId, outcome }: OutcomeCall,
  now: number,
): number => {
  storage.sql.exec('DELETE FROM reservation WHERE evaluation_id = ? AND until <= ?', evaluationId, now)
  if (outcome === 'not_done') return freeReservations(storage, evaluationId, now)
  storage.sql.exec('DELETE FROM reservation WHERE evaluation_id = ?', evaluationId)
  return 0
}

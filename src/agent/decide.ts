import type { ApprovalUse, DecisionRecord, RefusedBy, Resolution } from '../audit/receipt.ts'
import { finish } from '../cedar/partial.ts'
import type { CedarRecord } from '../cedar/value.ts'
import { draw, levelAt, retryAfter } from '../settle/meters.ts'
import { type Leg, SESSION } from '../settle/program.ts'
import type { Charge } from '../settle/room.ts'
import { type Settlement, type State, settle } from '../settle/settle.ts'
import { type Dependence, dependenceOf } from './after.ts'
import { approvalsFor, withRefusal } from './approvals.ts'
import { readAtHand } from './at-hand.ts'
import type { DecideCall, Decided, DecideItem, DecideReply, Refused } from './calls/decide.ts'
import { append } from './chain.ts'
import { decidedOf } from './decided.ts'
import { heldOf, spendLease, type Waits } from './leases.ts'
import { keepNews } from './line.ts'
import { readLevel, readSpent, writeLevel, writeSpent } from './meters.ts'
import { settleUnknown } from './outcome.ts'
import { keepPending, overdueReports, unknownOf } from './pending.ts'
import { claimProof } from './proofs.ts'
import { drawFrom, leftIn } from './purses.ts'
import { keepRedeemable } from './redeem.ts'
import { findReply, keepReply } from './replies.ts'
import { isTaken } from './revocations.ts'
import { openSelf, readSelf, type Self } from './self.ts'
import { addStep, entryOf, type Session, sessionValue } from './session.ts'
import { joined } from './session-state.ts'
import { forbidsOf, hintUntil, keepStepUp } from './step-ups.ts'
import { stoppedBy } from './stopped.ts'
import { planSweep } from './sweep.ts'
import { type Root, treeHead } from './tree.ts'
import { hasEnded, keepWait, takeUp, wakeDependents } from './waits.ts'

/** How long a defer waits where its Worker doesn't say, in milliseconds. */
const WAIT_MS = 10 * 60_000

/** Settles a call's items in order, each in a transaction of its own, up to where the call says to stop. */
export const decide = (
  storage: DurableObjectStorage,
  chain: string,
  call: DecideCall,
  clock: () => number,
  asked: Asked = { waits: new Map() },
): DecideReply => {
  if (call.v > 2 || call.items.some(({ program }) => program.v > 2)) throw new Error('written by a newer Worker')
  const reply: DecideReply = []
  for (const item of call.items) {
    const answer = storage.transactionSync(() => decideItem(storage, chain, call, item, clock, asked))
    reply.push(answer)
    if (stopsAt(answer, call.stop)) break
  }
  return reply
}

/** What was asked of other objects for one item, before its transaction. */
export type Asked = { waits: Waits; root?: Root | undefined }

const decideItem = (
  storage: DurableObjectStorage,
  chain: string,
  call: DecideCall,
  item: DecideItem,
  clock: () => number,
  { waits, root }: Asked,
): Decided | Refused => {
  const atHand = readAtHand(storage, item.step?.session)
  let self = { ...(atHand.self ?? openSelf(storage, { tenant: call.tenant, chain, agent: call.agent })), chain }
  if (self.fork) return { kind: 'chain_fork' }
  const now = Math.max(call.now, self.head?.at ?? 0)
  if (call.proof && !claimProof(storage, call.proof)) return { kind: 'replayed_proof' }

  const taken = call.lineage !== undefined && atHand.revocations && isTaken(storage, call.lineage)
  const { session } = atHand
  const stopped = stoppedBy(storage, {
    taken,
    ...(call.epoch && { epoch: call.epoch }),
    known: atHand.epoch,
    targets: item.targets,
    session,
    linked: item.step && item.linked,
    root,
  })
  const kept = item.idempotency && findReply(storage, item.idempotency.key, now)
  // what deferred is decided anew once its wait has ended
  const earlier = kept && hasEnded(storage, kept.decided.evaluationId) ? undefined : kept
  if (earlier) {
    if (earlier.requestHash !== item.idempotency?.requestHash) return { kind: 'idempotency_mismatch' }
    // a stopped agent gets no permit, not even one that was decided before: it is judged anew, and denied
    const barred = self.suspended || stopped === 'revoked' || stopped === 'killed'
    if (!barred || !permits(earlier.decided)) return { ...earlier.decided, replayed: true }
  }

  const newer = newerThan(self, call.bundle)
  if (newer) return { kind: 'stale_bundle', ...newer }
  // then the chain has grown
  if (atHand.unknownOutcomes && settleUnknown(storage, item, now, clock)) {
    self = { ...self, head: readSelf(storage)?.head }
  }

  const approvals = approvalsFor(storage, item, now)
  // while something was borrowed time went on, and what was held before may have ended
  const spendingAt = Math.max(now, clock())
  const knowing: Knowing = {
    session: session === 'tampered' ? undefined : session,
    root,
    approved: approvals.approved,
    held: key => heldOf(storage, key, waits, spendingAt),
    unsettled: atHand.unknownOutcomes && unknownOf(storage, item).length > 0,
  }
  const judged: Settled =
    denialOf(stopped ? { denied: { reason: stopped } } : item, self) ??
    withRefusal(settle(item.program, stateOf(storage, self, knowing, now), now), approvals)
  const settled = dependent(judged, dependenceOf(storage, item), self)
  if (!permits(settled)) {
    const room = takeAttempt(storage, call.attempts, now)
    if (!room.taken) return { kind: 'too_many_attempts', retryAfter: room.retryAfter }
  }

  for (const charge of settled.charges) {
    if (charge.kind === 'lease') spendLease(storage, item.evaluationId, charge.meter, waits, spendingAt)
    else writeCharge(storage, charge)
  }
  for (const draw of settled.draws ?? []) drawFrom(storage, draw)
  const stepped =
    item.step && permits(settled) && session !== 'tampered'
      ? addStep(storage, item.step.session, session, entryOf(item.step, item.evaluationId, now))
      : undefined
  if (stepped && item.step) keepNews(storage, item.step.session, stepped, clock())
  const used = permits(settled) ? approvals.consume(settled.lifted, item.evaluationId) : []
  const resolution = takeUp(storage, item)
  const decision = {
    ...recordOf(settled, call, item, now, { used, resolution }),
    ...headOf(stepped ?? session),
    ...treeHead(root),
  }
  const receipt = append(
    storage,
    self,
    {
      kind: 'decision',
      at: now,
      body: { ...item.body, decision },
      secrets: item.secrets,
      ...(item.intent !== undefined && permits(settled) && { intent: item.intent }),
    },
    clock,
  )
  if (permits(settled)) {
    keepPending(storage, item, receipt, decision, settled.charges, clock)
    const { evaluationId, targets = [], permitMs } = item
    const { lineage } = call
    if (item.redeem) {
      keepRedeemable(storage, { evaluationId, seq: receipt.seq, targets, lineage, expiresAt: now + permitMs })
    }
  }
  const decided = decidedOf(receipt, decision)
  if (!earlier) keepReply(storage, item, decided)
  if (settled.outcome === 'step_up') keepStepUp(storage, item, settled, { seq: receipt.seq, now })
  if (settled.outcome === 'defer' || settled.outcome === 'step_up') keepWait(storage, item, decided)
  else if (resolution) wakeDependents(storage, item.evaluationId)
  if (call.bundle.seq !== self.bundle?.seq) {
    storage.sql.exec('UPDATE self SET bundle_seq = ?, bundle_hash = ?', call.bundle.seq, call.bundle.hash)
  }
  const leaves = call.proof || item.idempotency || item.step || settled.charges.length > 0 || !permits(settled)
  if (leaves && !atHand.sweepPlanned) planSweep(storage, clock())
  return decided
}

type Settled = Omit<Settlement, 'reason'> & Pick<DecisionRecord, 'reason' | 'problems'>

/** An action that comes after others waits for them, unless it is denied anyway, and falls with them. */
const dependent = (
  settled: Settled,
  { pending, failed }: Dependence,
  { suspended }: Pick<Self, 'suspended'>,
): Settled => {
  if (suspended || settled.outcome === 'deny' || (!failed && pending.length === 0)) return settled
  const nothing = { policies: settled.policies, charges: [], duties: { log: [] }, lifted: [] }
  if (failed) return { ...nothing, outcome: 'deny', reason: 'dependency_denied', missing: [] }
  return { ...nothing, outcome: 'defer', reason: 'facts_missing', missing: [...settled.missing, ...pending].sort() }
}

/** A denial that the Worker settled before policy. The agent's own standing comes first. */
const denialOf = (
  { denied }: Pick<DecideItem, 'denied'>,
  { suspended }: Pick<Self, 'suspended'>,
): Settled | undefined =>
  denied && !suspended
    ? { outcome: 'deny', policies: [], missing: [], charges: [], duties: { log: [] }, lifted: [], ...denied }
    : undefined

/** What the state is read with, beside the agent's own. */
type Knowing = Pick<State, 'approved' | 'held'> & {
  session: Session | undefined
  /** The root of the session's tree, where that is another and was asked. */
  root?: Root | undefined
  /** Of one action that is asked about: whether nobody knows what became of it before. */
  unsettled?: boolean
}

export const stateOf = (
  storage: DurableObjectStorage,
  { suspended }: Pick<Self, 'suspended'>,
  { session, root, approved, held, unsettled = false }: Knowing,
  now: number,
): State => {
  const remembering = (known: Pick<Session, 'state'> | undefined) => {
    let value: CedarRecord | undefined
    return () => {
      value ??= sessionValue(known?.state, now, overdueReports(storage))
      return value
    }
  }
  const own = remembering(session)
  const whole = session?.line && wholeOf(session, root)
  const tree = session?.line ? whole && remembering(whole) : own
  return {
    suspended,
    unsettled,
    meter: key => readLevel(storage, ruleKey(key)),
    purse: (purse, counter) => leftIn(storage, purse, counter, now),
    spent: key => readSpent(storage, key),
    held,
    finish: ({ residual, tree: asksTree }) => {
      const remembered = asksTree ? tree : own
      const finished = finish(residual, name => (name === SESSION ? remembered?.() : undefined))
      if (typeof finished === 'boolean') return finished
      return finished.kind === 'fault' ? 'error' : 'unknown'
    },
    approved,
  }
}

/** What the tree of a session knows: the session, and all that was answered anywhere else, which the root was told. */
const wholeOf = ({ state }: Session, root: Root | undefined): Pick<Session, 'state'> | undefined =>
  root && !('lost' in root) ? { state: joined(state, root.state) } : undefined

/** What the object has seen, where the call was evaluated under less. One `seq` has one hash, the first that was seen. */
export const newerThan = (
  { bundle: seen }: Pick<Self, 'bundle'>,
  bundle: DecideCall['bundle'],
): DecideCall['bundle'] | undefined => {
  if (!seen || bundle.seq > seen.seq) return undefined
  return bundle.seq < seen.seq || bundle.hash !== seen.hash ? seen : undefined
}

/** Keys of policies' meters and the object's own can't meet. */
const ruleKey = (key: string): string => `rule:${key}`
const ATTEMPTS = 'attempts'

/** What is the agent's own. Shares of budgets are spent from leases, which know whose decision it was. */
export const writeCharge = (storage: DurableObjectStorage, charge: Exclude<Charge, { kind: 'lease' }>): void => {
  if (charge.kind === 'limit') writeLevel(storage, ruleKey(charge.meter.key), charge.meter, charge.level)
  else writeSpent(storage, charge.meter.key, charge.meter.window, charge.spent)
}

/** Whatever isn't allowed costs one attempt; without one it isn't decided at all. */
export const takeAttempt = (
  storage: DurableObjectStorage,
  bucket: DecideCall['attempts'],
  now: number,
): { taken: true } | { taken: false; retryAfter: number } => {
  const level = levelAt(bucket, readLevel(storage, ATTEMPTS), now)
  if (level.tokens < 1) return { taken: false, retryAfter: retryAfter(bucket, level, 1) ?? 1 }
  writeLevel(storage, ATTEMPTS, bucket, draw(level, 1))
  return { taken: true }
}

/** Its members stand as JCS has them, all but the rarest: what is in order is written several times as fast. */
const recordOf = (
  settled: Settled,
  { bundle }: DecideCall,
  item: DecideItem,
  now: number,
  { used, resolution }: { used: ApprovalUse[]; resolution: Resolution | undefined },
): DecisionRecord => ({
  ...(used.length > 0 && { approvals: used }),
  bundle: { hash: bundle.hash, seq: bundle.seq },
  ...(resolution && item.continues !== undefined && { continues: item.continues, resolution }),
  ...(permits(settled) && obliged(settled.duties, now)),
  ...(settled.outcome === 'step_up' &&
    item.binding && {
      escalate: {
        expires_at: hintUntil(now),
        forbids: forbidsOf(item, settled).map(({ policy, textHash }) => ({ policy, text_hash: textHash })),
      },
    }),
  evaluation_id: item.evaluationId,
  ...(permits(settled) && { expires_at: now + item.permitMs }),
  ...(settled.lifted.length > 0 && { lifted: settled.lifted }),
  ...(settled.missing.length > 0 && { missing: settled.missing }),
  outcome: settled.outcome,
  policies: settled.policies,
  ...(item.approval && { presented: item.approval.id }),
  ...(settled.problems !== undefined && { problems: settled.problems }),
  ...(settled.quota && { quota: settled.quota }),
  reason: settled.reason,
  ...(permits(settled) && item.redeem && { redeem: true }),
  ...(settled.refused && { refused_by: settled.refused.map(of => refusing(of, item)) }),
  ...(settled.retryAfter !== undefined && { retry_after: settled.retryAfter }),
  ...((settled.outcome === 'modify' || settled.reason === 'modify_offered') && rewriteIn(item)),
  ...(settled.outcome === 'defer' && { wait_until: now + (item.wait?.ms ?? WAIT_MS) }),
})

/** By which head of the session's chain it can be said later what the decision knew of the session. */
const headOf = (session: Pick<Session, 'seq' | 'hash'> | 'tampered' | undefined): Pick<DecisionRecord, 'session'> =>
  session && session !== 'tampered' ? { session: { hash: session.hash, seq: session.seq } } : {}

const obliged = ({ log, reportMs }: Settlement['duties'], now: number): Pick<DecisionRecord, 'duties'> =>
  log.length === 0 && reportMs === undefined
    ? {}
    : {
        duties: {
          ...(log.length > 0 && { log }),
          ...(reportMs !== undefined && { report_by: now + reportMs }),
        },
      }

const rewriteIn = ({ program: { rewrite } }: DecideItem): Pick<DecisionRecord, 'rewrite'> =>
  rewrite ? { rewrite: { set: rewrite.set, mask: rewrite.mask } } : {}

/** Principals by the place of their leg: who a user is stands in a receipt only under the user's key. */
const refusing = (of: Leg['of'], { program }: DecideItem): RefusedBy =>
  of.kind === 'grant' ? { grant: of.id } : { leg: program.legs.findIndex(leg => leg.of === of) }

const permits = ({ outcome }: Pick<Settlement, 'outcome'>): boolean => outcome === 'allow' || outcome === 'modify'

export const stopsAt = (answer: Decided | Refused, stop: DecideCall['stop']): boolean => {
  if (answer.kind === 'stale_bundle' || answer.kind === 'chain_fork') return true
  // a key that came with another request refuses the whole call: what follows must take nothing
  if (answer.kind === 'idempotency_mismatch') return true
  const permitted = answer.kind === 'decided' && permits(answer)
  return (stop === 'first_deny' && !permitted) || (stop === 'first_permit' && permitted)
}

import type { BudgetObject } from '../budget/object.ts'
import { settle } from '../settle/settle.ts'
import { dependenceOf } from './after.ts'
import { approvalsFor } from './approvals.ts'
import type { DecideCall, DecideItem } from './calls/decide.ts'
import { newerThan, stateOf } from './decide.ts'
import { borrow, type Dry, lookUp, sharedMeters, unasked, type Waits } from './leases.ts'
import { unknownOf } from './pending.ts'
import { claimProof } from './proofs.ts'
import { findReply } from './replies.ts'
import { isTaken } from './revocations.ts'
import { readSelf } from './self.ts'
import { readSession } from './session.ts'
import { stoppedBy } from './stopped.ts'
import type { Root } from './tree.ts'
import { hasEnded } from './waits.ts'

/**
 * What has to be had of shared budgets before an item is settled. Only what would be allowed otherwise borrows: whoever is
 * stopped, forbidden or answered already must not take from all others what it can't spend.
 */
export const provide = async (
  storage: DurableObjectStorage,
  call: DecideCall,
  item: DecideItem,
  { budgets, dry, root }: { budgets: DurableObjectNamespace<BudgetObject>; dry: Dry; root: Root | undefined },
  clock: () => number,
): Promise<Waits> => {
  if (sharedMeters(item.program).length === 0) return new Map()
  const now = () => Math.max(call.now, clock(), readSelf(storage)?.head?.at ?? 0)
  const outlook = () => storage.transactionSync(() => outlookOf(storage, call, item, root, now()))
  let asked: Waits | undefined
  if (outlook() === 'asks') asked = await lookUp(item.program, budgets, now())
  // what humans have to lift they may have lifted meanwhile
  switch (outlook()) {
    case 'spends':
      return borrow(storage, item.program, budgets, dry, now)
    case 'asks':
      return asked ?? unasked(item.program)
    case 'ends':
      return unasked(item.program)
  }
}

/** Whether the item would be allowed if there were enough of all shared budgets, or a human had to be asked. */
const outlookOf = (
  storage: DurableObjectStorage,
  call: DecideCall,
  item: DecideItem,
  root: Root | undefined,
  now: number,
): 'spends' | 'asks' | 'ends' => {
  const self = readSelf(storage)
  if (self && (self.fork || self.suspended || newerThan(self, call.bundle))) return 'ends'
  if (item.denied || (call.proof && !claimProof(storage, call.proof))) return 'ends'
  const kept = item.idempotency && findReply(storage, item.idempotency.key, now)
  if (kept && !hasEnded(storage, kept.decided.evaluationId)) return 'ends'
  const taken = call.lineage !== undefined && isTaken(storage, call.lineage)
  const session = item.step && readSession(storage, item.step.session)
  const linked = item.step && item.linked
  const stopped = stoppedBy(storage, { ...call, taken, targets: item.targets, session, linked, root })
  if (stopped || session === 'tampered') return 'ends'
  const { pending, failed } = dependenceOf(storage, item)
  if (failed || pending.length > 0) return 'ends'
  const { approved } = approvalsFor(storage, item, now)
  const knowing = {
    session,
    root,
    approved,
    held: () => ({ left: Number.MAX_SAFE_INTEGER }),
    // a fact at hand may settle it first
    unsettled: !item.came && unknownOf(storage, item).length > 0,
  }
  const { outcome } = settle(item.program, stateOf(storage, { suspended: false }, knowing, now), now)
  if (outcome === 'step_up') return 'asks'
  return outcome === 'allow' || outcome === 'modify' ? 'spends' : 'ends'
}

import type { ReceiptKind } from '../audit/receipt.ts'
import { contentHash } from '../durable/hash.ts'
import type { Charge } from '../settle/room.ts'
import type { State } from '../settle/settle.ts'
import type { Step } from './calls/decide.ts'
import type { Answered, QuestionCall } from './calls/questions.ts'
import { append } from './chain.ts'
import { newerThan, stateOf, takeAttempt, writeCharge } from './decide.ts'
import { keepNews } from './line.ts'
import { claimProof } from './proofs.ts'
import { isTaken } from './revocations.ts'
import { openSelf } from './self.ts'
import { addStep, entryOf, readSession } from './session.ts'
import { stoppedBy } from './stopped.ts'
import { planSweep } from './sweep.ts'
import { type Root, treeHead } from './tree.ts'

/**
 * What a human lifts is one action, and not what there is. What is left of a shared budget only its coordinator knows;
 * what is found is still judged when it is done.
 */
const AT_LARGE = { approved: () => false, held: () => ({ left: Number.MAX_SAFE_INTEGER }) }

/** A kind of question, the answer in which there is nothing, and how it is answered from the agent's state. */
export type Question<T> = {
  kind: Extract<ReceiptKind, 'search' | 'scope' | 'whoami'>
  none: T
  answer: (state: State, now: number) => { result: T; charges: Exclude<Charge, { kind: 'lease' }>[] }
  /** What such an answer adds to the session: whoever may read by it counts as having read. */
  step?: (result: T) => Step | undefined
}

/**
 * The way of every question that is no decision (rule 9): the agent's standing, one of its attempts, the answer, and a
 * receipt with the answer's hash, in one transaction. A suspended agent is answered as if there were nothing. `root`: that of
 * the session's tree, where the answer hangs on it.
 */
export const attend = <T>(
  storage: DurableObjectStorage,
  chain: string,
  call: QuestionCall,
  { kind, none, answer, step: stepBy }: Question<T>,
  clock: () => number,
  root?: Root,
): Answered<T> => {
  if (call.v !== 1) throw new Error('written by a newer Worker')
  return storage.transactionSync(() => {
    const self = openSelf(storage, { tenant: call.tenant, chain, agent: call.agent })
    if (self.fork) return { kind: 'chain_fork' }
    const now = Math.max(call.now, self.head?.at ?? 0)
    if (call.proof && !claimProof(storage, call.proof)) return { kind: 'replayed_proof' }
    const newer = call.pinned ? undefined : newerThan(self, call.bundle)
    if (newer) return { kind: 'stale_bundle', ...newer }
    const room = takeAttempt(storage, call.attempts, now)
    if (!room.taken) return { kind: 'too_many_attempts', retryAfter: room.retryAfter }

    const session = call.session === undefined ? undefined : readSession(storage, call.session)
    const taken = call.lineage !== undefined && isTaken(storage, call.lineage)
    const reason = self.suspended
      ? 'suspended'
      : (stoppedBy(storage, { ...call, taken, session, root }) ?? call.denied?.reason)
    const { result, charges } =
      reason === undefined && session !== 'tampered'
        ? answer(stateOf(storage, self, { ...AT_LARGE, session, root }, now), now)
        : { result: none, charges: [] }
    for (const charge of charges) writeCharge(storage, charge)
    const step = stepBy?.(result)
    const stepped =
      step && session !== 'tampered' ? addStep(storage, step.session, session, entryOf(step, call.id, now)) : undefined
    if (step && stepped) keepNews(storage, step.session, stepped, clock())
    const said = {
      id: call.id,
      bundle: call.bundle,
      ...(reason !== undefined && { reason }),
      result_hash: contentHash(result),
      ...(stepped && { session: { seq: stepped.seq, hash: stepped.hash } }),
      ...treeHead(root),
    }
    const body = { ...call.body, [kind]: said }
    const { seq, hash } = append(storage, self, { kind, at: now, body, secrets: call.secrets }, clock)
    if (!call.pinned && call.bundle.seq !== self.bundle?.seq) {
      storage.sql.exec('UPDATE self SET bundle_seq = ?, bundle_hash = ?', call.bundle.seq, call.bundle.hash)
    }
    planSweep(storage, clock())
    return { kind: 'answered', at: now, result, ...(reason !== undefined && { reason }), receipt: { seq, hash } }
  })
}

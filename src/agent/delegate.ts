import type { Reason } from '../decision/reasons.ts'
import { type Handler, plan } from '../durable/due.ts'
import { approvalFor } from './approvals.ts'
import type { BeginCall, DelegateCall, DelegateReply, Reclaimed } from './calls/delegate.ts'
import { append } from './chain.ts'
import { takeAttempt } from './decide.ts'
import { handOn, inherit } from './line.ts'
import { claimProof } from './proofs.ts'
import { leftIn, openPurse, readPurse } from './purses.ts'
import { isTaken } from './revocations.ts'
import { openSelf, type Self } from './self.ts'
import { readSession, type Session } from './session.ts'
import { stoppedBy } from './stopped.ts'
import { planSweep } from './sweep.ts'

/** How long after a purse has lapsed it is asked for what is left: clocks differ, and its own slices come back first. */
const SKEW_MS = 2 * 60_000

/**
 * The delegating agent's part of a delegation, in one transaction: its standing, an attempt, the proof, the slice that
 * leaves its purse, and the receipt. What is countable is moved here before any token says so.
 */
export const delegate = (
  storage: DurableObjectStorage,
  chain: string,
  call: DelegateCall,
  clock: () => number,
): DelegateReply =>
  storage.transactionSync(() => {
    const agent = admitted(storage, chain, call, clock)
    if ('kind' in agent) return agent
    const { self, now, session } = agent
    const { slice, widened } = call
    const approvals = widened && approvalFor(storage, widened, now)
    if (approvals && 'kind' in approvals) return approvals
    if (slice) {
      const { uses, amount, purse } = slice
      const enough =
        leftIn(storage, purse, 'uses', now) >= (uses ?? 0) && leftIn(storage, purse, 'amount', now) >= (amount ?? 0)
      if (!enough) return { kind: 'refused', reason: 'grant_exhausted' }
      storage.sql.exec(
        'UPDATE purse SET uses = uses - ?, amount = amount - ? WHERE id = ?',
        uses ?? 0,
        amount ?? 0,
        purse,
      )
      storage.sql.exec(
        'INSERT INTO slice (id, purse, holder, uses, amount) VALUES (?, ?, ?, ?, ?)',
        call.id,
        purse,
        slice.holder,
        uses,
        amount,
      )
      plan(storage, 'slice', call.id, slice.until + SKEW_MS)
    }
    const { seq, hash } = append(
      storage,
      self,
      {
        kind: 'delegation',
        at: now,
        body: { ...call.body, ...(approvals && { approvals: approvals.consume(call.id) }) },
        secrets: call.secrets,
      },
      clock,
    )
    const from = { object: chain, agent: self.agent, session: call.session?.id ?? '' }
    const inheritance = call.session && handOn(storage, session, { from, to: call.session.to, at: now })
    return { kind: 'delegated', at: now, receipt: { seq, hash }, ...(inheritance && { inheritance }) }
  })

/**
 * The agent as it may hand something on now, or what keeps it from that, whatever it is. Who was stopped hands nothing on,
 * and nothing is handed to it: that it was tried is on record.
 */
export const admitted = (
  storage: DurableObjectStorage,
  chain: string,
  call: Omit<DelegateCall, 'slice' | 'widened'>,
  clock: () => number,
): { self: Self; now: number; session: Session | undefined } | Extract<DelegateReply, { kind: 'refused' }> => {
  const self = openSelf(storage, { tenant: call.tenant, chain, agent: call.agent })
  const now = Math.max(call.now, self.head?.at ?? 0)
  const refused = (reason: Reason) => ({ kind: 'refused', reason }) as const
  planSweep(storage, clock())
  if (self.fork) return refused('chain_fork')
  if (call.proofs.some(proof => !claimProof(storage, proof))) return refused('invalid_dpop_proof')
  const room = takeAttempt(storage, call.attempts, now)
  if (!room.taken) return { ...refused('too_many_attempts'), retryAfter: room.retryAfter }
  const session = call.session && readSession(storage, call.session.id)
  const taken = isTaken(storage, call.lineage)
  const linked = call.session?.linked
  const stopped = self.suspended ? 'suspended' : stoppedBy(storage, { ...call, taken, session, linked })
  if (!stopped && session !== 'tampered') return { self, now, session }
  const reason = stopped ?? 'session_tampered'
  const body = { ...call.body, refused: reason }
  append(storage, self, { kind: 'delegation', at: now, body, secrets: call.secrets }, clock)
  return refused(reason)
}

/** Takes in what a delegation brings: the purse that it moved here, and what the session of its task begins with. */
export const begin = (
  storage: DurableObjectStorage,
  { v, id, at, purse, inheritance }: BeginCall,
  clock: () => number,
): void => {
  if (v !== 1) throw new Error('written by a newer Worker')
  storage.transactionSync(() => {
    if (purse) openPurse(storage, id, purse)
    if (inheritance) inherit(storage, id, inheritance, at)
    planSweep(storage, clock())
  })
}

/** Takes back what is left of a lapsed purse, and closes it: `pending` while slices of its own are out. */
export const reclaim = (storage: DurableObjectStorage, id: string, until: number): Reclaimed =>
  storage.transactionSync(() => {
    const out = storage.sql.exec('SELECT 1 FROM slice WHERE purse = ? LIMIT 1', id).toArray()
    if (out.length > 0) return { kind: 'pending' }
    // One that never came must not come later, when it was given back already.
    openPurse(storage, id, { uses: null, amount: null, until })
    storage.sql.exec('UPDATE purse SET closed = 1 WHERE id = ?', id)
    const purse = readPurse(storage, id)
    const arrived = purse?.uses !== null || purse?.amount !== null
    return arrived && purse ? { kind: 'returned', uses: purse.uses, amount: purse.amount } : { kind: 'never_came' }
  })

/** How slices come back. `reclaimFrom` asks the object that holds one. */
export const returning = (
  storage: DurableObjectStorage,
  reclaimFrom: (holder: string, id: string, until: number) => Promise<Reclaimed>,
  clock: () => number,
): Handler => ({
  run: async id => {
    const [slice] = storage.sql.exec<Slice>('SELECT purse, holder, uses, amount FROM slice WHERE id = ?', id)
    if (!slice) return
    const reply = await reclaimFrom(slice.holder, id, clock())
    if (reply.kind === 'pending') throw new Error('slices of the slice are still out')
    const left = reply.kind === 'returned' ? reply : slice
    storage.transactionSync(() => {
      // Only once, however often this runs.
      const { rowsWritten } = storage.sql.exec('DELETE FROM slice WHERE id = ?', id)
      if (rowsWritten > 0)
        storage.sql.exec(
          'UPDATE purse SET uses = uses + ?, amount = amount + ? WHERE id = ?',
          left.uses ?? 0,
          left.amount ?? 0,
          slice.purse,
        )
    })
  },
  next: () => undefined,
})

type Slice = { purse: string; holder: string; uses: number | null; amount: number | null }

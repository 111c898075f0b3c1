import type { ProofClaim } from './calls/decide.ts'
import type { NoteCall } from './calls/receipts.ts'
import { append } from './chain.ts'
import { claimProof } from './proofs.ts'
import { openSelf } from './self.ts'
import { planSweep } from './sweep.ts'

/** Puts on a chain what happened beside decisions. */
export const note = (
  storage: DurableObjectStorage,
  chain: string,
  { tenant, agent, kind, at, body, secrets }: NoteCall,
  clock: () => number,
): { seq: number; hash: string } =>
  storage.transactionSync(() => {
    const self = openSelf(storage, { tenant, chain, agent })
    const { seq, hash } = append(storage, self, { kind, at, body, secrets }, clock)
    return { seq, hash }
  })

/** The same for what may come again, which then changes nothing. */
export const noteOnce = (
  storage: DurableObjectStorage,
  chain: string,
  call: NoteCall,
  claim: ProofClaim,
  clock: () => number,
): void =>
  storage.transactionSync(() => {
    planSweep(storage, clock())
    if (claimProof(storage, claim)) note(storage, chain, call, clock)
  })

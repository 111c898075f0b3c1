import type { DecideCall, ProofClaim } from '../agent/calls/decide.ts'
import type { Epoch } from '../agent/calls/kills.ts'
import type { Caller } from '../identity/caller.ts'
import type { LoadedBundle } from '../policy/load.ts'

/** What the edge itself knows about the call. */
export type Edge = { now: number; ip?: string }

/** One call by an authenticated caller. */
export type Call = {
  tenant: string
  /** The tenant's identifier: the issuer of its permits. */
  identifier: string
  caller: Caller
  bundle: LoadedBundle
  edge: Edge
  /** The tenant's kill switches, as this isolate knows them. */
  epoch?: Epoch
  requestId?: string
  idempotency?: { key: string; bodyHash: string }
  /** What the caller's authority comes from was taken away, or nobody can say now whether it was. */
  taken?: 'yes' | 'unknown'
  /** The caller's proof, if it isn't claimed yet: the agent's object does it with the decision. */
  proof?: ProofClaim
  stop: DecideCall['stop']
}

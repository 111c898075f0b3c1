import type { ProofClaim } from '../agent/calls/decide.ts'
import type { Revocations } from '../delegation/revocations.ts'
import type { Caller } from '../identity/caller.ts'
import type { Claims } from '../identity/claims.ts'
import type { KeySets } from '../identity/key-sets.ts'
import type { Epochs } from '../policy/epochs.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Source } from '../policy/source.ts'
import type { Place } from './tenant.ts'

/** What an isolate's app is made with; tests bring their own clock and connections. */
export type Parts = {
  now: () => number
  source: Source
  keySets: KeySets
  revocations: Revocations
  /** How other hosts are called. */
  fetch: typeof fetch
}

/** A call whose token has been verified against the tenant's active bundle. */
export type Session = {
  bundle: LoadedBundle
  caller: Caller
  claims: Claims
  /** What the caller's authority comes from was taken away, or nobody can say now whether it was. */
  taken?: 'yes' | 'unknown'
  /** A proof that must not pass again, where the route's own call to an agent's object sees to that. */
  proof?: ProofClaim
}

export type AppEnv = {
  /** The Worker's bindings, generated from wrangler.toml. */
  Bindings: Env
  Variables: {
    place: Place
    /** Read once per request. */
    now: number
    parts: Parts
    session: Session
    epochs: Epochs
  }
}

import type { Revocations } from '../delegation/revocations.ts'
import type { KeySets } from '../identity/key-sets.ts'
import type { Epochs } from '../policy/epochs.ts'
import type { Source } from '../policy/source.ts'
import type { Session } from './authenticated.ts'
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

import type { Source } from '../policy/source.ts'
import type { Session } from './authenticated.ts'
import type { Place } from './tenant.ts'

/** What the app is made with; tests bring their own clock. */
export type Parts = { now: () => number; source: Source }

export type AppEnv = {
  /** The Worker's bindings, generated from wrangler.toml. */
  Bindings: Env
  Variables: {
    place: Place
    /** Read once per request. */
    now: number
    parts: Parts
    session: Session
  }
}

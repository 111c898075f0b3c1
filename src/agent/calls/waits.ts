/** A fact that isn't known; `since`: the last fact that the ledger held when it was looked for. */
export type Needed = { name: string; entity: string; predicate: string; since: number }

/** A deferred decision's wait; `asked`: a human has to lift what stands in the way. */
export type Waiting = {
  state: 'open' | 'ready' | 'continued' | 'expired' | 'asked'
  /** Milliseconds. */
  until: number
  needs: Needed[]
  /** The evaluation that took it up, or the denial that ended it. */
  by?: string
}

import type { DecideItem } from './calls/decide.ts'
import { findDecision } from './find.ts'
import { afterName, readWait } from './waits.ts'

/** What an action that must come after others depends upon. */
export type Dependence = { pending: string[]; failed: boolean }

/**
 * Looks at the evaluations that an action says it comes after: allowed ones are behind it; a deferred one, or one that
 * a human has yet to lift, is pending; a denied one, and one that this agent never had, will not be allowed.
 */
export const dependenceOf = (storage: DurableObjectStorage, { after = [] }: Pick<DecideItem, 'after'>): Dependence => {
  const states = after.map(id => ({ id, state: stateOf(storage, id) }))
  return {
    pending: states.flatMap(({ id, state }) => (state === 'pending' ? [afterName(id)] : [])),
    failed: states.some(({ state }) => state === 'failed'),
  }
}

/** Evaluations that took up others may be followed so far. */
const MOST_STEPS = 100

const stateOf = (storage: DurableObjectStorage, evaluationId: string): 'allowed' | 'pending' | 'failed' => {
  let id = evaluationId
  for (let step = 0; step < MOST_STEPS; step++) {
    const wait = readWait(storage, id)
    if (!wait) {
      const outcome = findDecision(storage, id)?.decision.outcome
      if (outcome === 'allow' || outcome === 'modify') return 'allowed'
      return outcome === 'step_up' || outcome === 'defer' ? 'pending' : 'failed'
    }
    if (wait.state === 'expired') return 'failed'
    if (wait.state !== 'continued' || wait.by === undefined) return 'pending'
    id = wait.by
  }
  return 'failed'
}

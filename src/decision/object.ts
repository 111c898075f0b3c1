import type { DecideCall, DecideReply } from '../agent/calls/decide.ts'
import type { AgentObject } from '../agent/object.ts'

/** How long the agent's object may take before the answer is a denial. */
const DEADLINE_MS = 2_000

export type Unsettled = { unsettled: 'control_unreachable' | 'overloaded' }

/**
 * The one call to the agent's object. At the deadline, or when the call fails, nothing is known: the object may have
 * committed. A retry with the same Idempotency-Key gets what it did; without one nothing is retried here, since that
 * could take a limit twice.
 */
export const settleAt = (
  agents: DurableObjectNamespace<AgentObject>,
  name: string,
  call: DecideCall,
): Promise<DecideReply | Unsettled> => reached(() => agents.getByName(name).decide(call))

/** What an object answers, by the deadline. */
export const reached = async <T>(call: () => Promise<T>, deadlineMs = DEADLINE_MS): Promise<T | Unsettled> => {
  // Not cleared: that would cost more than it holds, which goes with the request.
  const late = scheduler.wait(deadlineMs).then((): Unsettled => ({ unsettled: 'control_unreachable' }))
  try {
    return await Promise.race([call(), late])
  } catch (error) {
    const overloaded = error instanceof Error && 'overloaded' in error && error.overloaded === true
    return { unsettled: overloaded ? 'overloaded' : 'control_unreachable' }
  }
}

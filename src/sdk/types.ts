/** What an agent's developer sees. Nothing here depends on the rest of the project. */

type Entity = { type: string; id: string; properties?: Record<string, unknown> }

/** One action to be judged (AuthZEN). */
export type Ask = {
  subject: Entity
  action: { name: string; properties?: Record<string, unknown> }
  resource: Entity
  context?: Record<string, unknown>
}

/** What was decided. Act only where `allowed` is true, and only within the permit's minute. */
export type Decision = {
  allowed: boolean
  outcome: 'allow' | 'deny' | 'modify' | 'step_up' | 'defer'
  reason: string
  evaluationId: string
  /** For the tool: this agent, this action, these arguments. */
  permit?: string
  /** Seconds. */
  retryAfter?: number
  /** The whole of the answer's context. */
  context: Record<string, unknown>
  /** How the request for approval ended, where there was one. */
  request?: { task: string; status: string }
  /**
   * Waits where a human may allow the action: asks, waits, and evaluates again. Any other decision is settled already.
   * What comes back may be a request again, if the approval no longer fits: then ask once more, or give up.
   */
  settled: (options?: Settling) => Promise<Decision>
}

export type Settling = {
  /** Why it should be approved. Shown to the approvers as the requester's words. */
  justification?: string
  /** Until when the approval is needed. */
  until?: Date
  /** Gives up waiting. The request goes on: `settled` called again finds it. */
  signal?: AbortSignal
}

/** What a decision comes to. Only `allow` and `modify` are AuthZEN's `decision: true`. */
export const outcomes = ['allow', 'deny', 'modify', 'step_up', 'defer'] as const
export type Outcome = (typeof outcomes)[number]

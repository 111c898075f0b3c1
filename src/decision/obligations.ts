import * as v from 'valibot'

/** An obligation (AuthZEN Obligations Profile, draft 1, The Obligation Object). */
export const Obligation = v.object({
  id: v.string(),
  type: v.string(),
  properties: v.record(v.string(), v.unknown()),
})
export type Obligation = v.InferOutput<typeof Obligation>

/** Types that answers may carry. All of ours are `custom`, told apart by `vendor` and `action`. */
export const OBLIGATION_TYPES = ['custom']

/** What a caller has to do where the request or its result is rewritten. */
export const rewriteObligations = (
  args: Record<string, unknown> | undefined,
  mask: readonly string[],
): Obligation[] => [
  ...(args ? [custom('arguments', { arguments: args })] : []),
  ...(mask.length > 0 ? [custom('mask', { fields: mask })] : []),
]

const custom = (action: string, properties: Record<string, unknown>): Obligation => ({
  id: action,
  type: 'custom',
  properties: { vendor: 'countersign', action, ...properties },
})

import * as v from 'valibot'
import type { Obliged } from '../audit/receipt.ts'

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

/** Obligations as the profile writes them. All of ours are `custom`, told apart by `vendor` and `action`. */
export const obligationsOf = (evaluationId: string, { log, report_by }: Obliged): Obligation[] => [
  ...(log ? [custom('log', { fields: log })] : []),
  ...(report_by === undefined
    ? []
    : [
        custom('report', {
          due_at: new Date(report_by).toISOString(),
          path: `/v1/decisions/${evaluationId}/outcome`,
        }),
      ]),
]

const custom = (action: string, properties: Record<string, unknown>): Obligation => ({
  id: action,
  type: 'custom',
  properties: { vendor: 'countersign', action, ...properties },
})

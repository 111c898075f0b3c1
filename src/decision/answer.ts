import * as v from 'valibot'
import { reasons } from './reasons.ts'

export const outcomes = ['allow', 'deny', 'modify', 'step_up', 'defer'] as const
export type Outcome = (typeof outcomes)[number]

const Problem = v.object({ pointer: v.string(), code: v.string(), expected: v.string() })

/** The context of an AuthZEN decision: the one shape in which every decision is answered. */
export const DecisionContext = v.object({
  evaluation_id: v.pipe(v.string(), v.uuid()),
  evaluated_at: v.pipe(v.string(), v.isoTimestamp()),
  outcome: v.picklist(outcomes),
  reason: v.picklist(Object.keys(reasons) as (keyof typeof reasons)[]),
  /** Whether a receipt was committed before this answer. */
  recorded: v.boolean(),
  /** Hash of the bundle that decided; absent where there was none. */
  bundle: v.optional(v.string()),
  /** Ids of the policies that decided; given to PEPs, admins and auditors, to agents where the bundle lets them know. */
  policies: v.optional(v.array(v.string())),
  /** A signed permit (JWT) for the tool: allow and modify only. */
  permit: v.optional(v.string()),
  missing: v.optional(v.array(v.object({ name: v.string(), sources: v.array(v.string()) }))),
  problems: v.optional(v.array(Problem)),
  /** Whole seconds. */
  retry_after: v.optional(v.number()),
})

/** An AuthZEN Decision (Authorization API 1.0, Information Model, Decision). */
export const Answer = v.object({ decision: v.boolean(), context: DecisionContext })
export type Answer = v.InferOutput<typeof Answer>

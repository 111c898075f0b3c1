import * as v from 'valibot'
import type { ScopeChoice } from '../escalation/scope.ts'
import type { StandingTerms } from '../policy/escalation.ts'

/** How far an approval reaches, as approvers write it and read it. */
export const Standing = v.strictObject({
  /** For the rest of the agent's session. */
  session: v.optional(v.literal(true)),
  /** For a range of one argument, ends included. */
  range: v.optional(v.strictObject({ argument: v.string(), min: v.optional(v.number()), max: v.optional(v.number()) })),
  any_resource: v.optional(v.literal(true)),
  any_arguments: v.optional(v.literal(true)),
  max: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(9_999)),
  /** Seconds. */
  for: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(30 * 86_400)),
})
type Standing = v.InferOutput<typeof Standing>

/** As an approver states it. */
export const StandingChoice = v.pipe(
  Standing,
  v.transform(
    ({ session, range, any_resource, any_arguments, max, for: seconds }): ScopeChoice => ({
      ...(session && { session }),
      ...(range && {
        range: {
          argument: range.argument,
          ...(range.min !== undefined && { min: range.min }),
          ...(range.max !== undefined && { max: range.max }),
        },
      }),
      ...(any_resource && { anyResource: any_resource }),
      ...(any_arguments && { anyArguments: any_arguments }),
      uses: max,
      forMs: seconds * 1000,
    }),
  ),
)

export const standingOf = ({ session, range, anyResource, anyArguments, uses, forMs }: ScopeChoice): Standing => ({
  ...(session && { session }),
  ...(range && { range }),
  ...(anyResource && { any_resource: anyResource }),
  ...(anyArguments && { any_arguments: anyArguments }),
  max: uses,
  for: forMs / 1000,
})

/** What a policy lets approvers grant. */
export const StandingLimits = v.object({
  session: v.boolean(),
  /** Arguments of which a range may be stated. */
  ranges: v.array(v.string()),
  any_resource: v.boolean(),
  any_arguments: v.boolean(),
  max: v.number(),
  /** Seconds. */
  for: v.number(),
})

export const standingLimits = ({
  session,
  ranges,
  anyResource,
  anyArguments,
  max,
  forMs,
}: StandingTerms): v.InferOutput<typeof StandingLimits> => ({
  session,
  ranges,
  any_resource: anyResource,
  any_arguments: anyArguments,
  max,
  for: forMs / 1000,
})

import * as v from 'valibot'
import { contentHash } from '../durable/hash.ts'
import type { approverSettings } from './approvers.ts'
import {
  type Escalation,
  type EscalationTerms,
  escalationAnnotations,
  escalationOf,
  groupsOf,
  termsProblem,
} from './escalation.ts'

const Text = v.pipe(v.string(), v.minLength(1), v.maxLength(512))

/** The terms of `@escalate` and of what goes with it, written as annotations have them. */
const Widening = v.strictObject({
  escalate: Text,
  approvals: v.optional(Text),
  expires: v.optional(Text),
  valid: v.optional(Text),
  remind: v.optional(Text),
  chain: v.optional(Text),
  reason_required: v.optional(Text),
  sign_in: v.optional(v.literal(true)),
})

/** The part of a tenant's settings that is about the token endpoint. */
export const exchangeSettings = {
  exchange: v.optional(
    v.strictObject({
      /** Which humans may let a child have more than its parent's grants. Without it that is refused. */
      widening: v.optional(Widening),
    }),
  ),
}

type Settings = v.InferOutput<
  v.ObjectSchema<typeof exchangeSettings & Pick<typeof approverSettings, 'approvers'>, undefined>
>

/** Who lets a delegation have more than there is to hand on. `textHash` names the terms: what an approval binds. */
export type WideningTerms = Escalation & { textHash: string }

export const wideningOf = ({ exchange }: Pick<Settings, 'exchange'>): WideningTerms | undefined => {
  const widening = exchange?.widening
  const { terms } = readTerms(widening ?? {})
  const escalation = escalationOf(terms)
  return widening && escalation && { ...escalation, textHash: contentHash(widening) }
}

/** What is wrong with it. `pointer` leads into tenant.json. */
export const exchangeProblems = ({ exchange, approvers }: Settings): { pointer: string; problem: string }[] => {
  const widening = exchange?.widening
  if (!widening) return []
  const { terms, problems } = readTerms(widening)
  const between = problems.length === 0 ? termsProblem(terms) : undefined
  const escalation = escalationOf(terms)
  const unknown = escalation && groupsOf(escalation).filter(group => !Object.hasOwn(approvers, group))
  return [
    ...problems,
    ...(between ? [{ member: between.annotation ?? 'escalate', problem: between.message }] : []),
    ...(unknown ?? []).map(group => ({ member: 'escalate', problem: `there is no approver group ${group}` })),
  ].map(({ member, problem }) => ({ pointer: `/exchange/widening/${member}`, problem }))
}

const readTerms = (
  widening: Partial<v.InferOutput<typeof Widening>>,
): { terms: EscalationTerms; problems: { member: string; problem: string }[] } => {
  const terms: EscalationTerms = {}
  const problems: { member: string; problem: string }[] = []
  for (const [member, value] of Object.entries(widening)) {
    const meaning = escalationAnnotations[member]?.read(typeof value === 'string' ? value : '')
    if (typeof meaning === 'string') problems.push({ member, problem: `reads wrong: ${meaning}` })
    else Object.assign(terms, meaning)
  }
  return { terms, problems }
}

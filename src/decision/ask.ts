import * as v from 'valibot'
import { isObject } from '../cedar/json.ts'
import { pointerTo } from '../cedar/pointer.ts'
import { type Refusal, refusal } from './refusal.ts'

/**
 * The AuthZEN request (Authorization API 1.0, Information Model). Members that the standard or Countersign don't know
 * are ignored, as the standard asks.
 */
export const Name = v.pipe(v.string(), v.maxLength(512, 'a string of at most 512 characters'))
/** Any object, with all its members: `v.record` takes lists for objects, and drops members named `constructor`. */
export const Properties = v.custom<Record<string, unknown>>(isObject, 'an object')

export const Entity = v.object({ type: Name, id: Name, properties: v.optional(Properties) })
export const Action = v.object({ name: Name, properties: v.optional(Properties) })

/** One action to be judged. */
export const Ask = v.object({ subject: Entity, action: Action, resource: Entity, context: v.optional(Properties) })
export type Ask = v.InferOutput<typeof Ask>

export const MAX_EVALUATIONS = 100

export const semantics = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const
export type Semantic = (typeof semantics)[number]

/** A batch: what the items don't say themselves they take whole from the top level (Access Evaluations API, 7.1). */
export const Batch = v.object({
  subject: v.optional(Entity),
  action: v.optional(Action),
  resource: v.optional(Entity),
  context: v.optional(Properties),
  evaluations: v.optional(
    v.pipe(v.array(Properties), v.maxLength(MAX_EVALUATIONS, `at most ${MAX_EVALUATIONS} evaluations`)),
    [],
  ),
  options: v.optional(
    v.pipe(Properties, v.object({ evaluations_semantic: v.optional(v.picklist(semantics), 'execute_all') })),
    {},
  ),
})
export type Batch = v.InferOutput<typeof Batch>

/** Reads an object at the border, or points to the first place that is wrong. */
export const read = <S extends v.GenericSchema>(schema: S, json: unknown, at = ''): v.InferOutput<S> | Refusal => {
  if (!isObject(json)) return refusal(400, 'malformed_request', { pointer: at, detail: 'an object' })
  const result = v.safeParse(schema, json, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const path = issue.path ?? []
  const pointer = pointerTo(path.map(({ key }) => String(key)))
  const detail = issue.expected === 'never' ? 'there is no such member' : issue.message
  return refusal(400, 'malformed_request', { pointer: at + pointer, detail })
}

/** The items of a batch, each whole or refused for itself. */
export const asksOf = (batch: Batch): (Ask | Refusal)[] => {
  const { subject, action, resource, context } = batch
  const defaults = Object.fromEntries(
    Object.entries({ subject, action, resource, context }).filter(([, value]) => value !== undefined),
  )
  return batch.evaluations.map((item, index) => read(Ask, { ...defaults, ...item }, `/evaluations/${index}`))
}

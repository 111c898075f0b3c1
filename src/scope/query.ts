import * as v from 'valibot'
import { Action, Entity, Name, Properties } from '../decision/ask.ts'

/**
 * The requests of AuthZEN's search APIs (Authorization API 1.0, Search APIs). What is searched for has a type and no id:
 * one that is given is ignored, and so are its properties, since each candidate has its own.
 */
const Wanted = v.object({ type: Name })

/** So many results at most come in one answer; more come in pages. */
export const MAX_RESULTS = 1_000

const Page = v.pipe(
  Properties,
  v.object({
    token: v.optional(v.string()),
    limit: v.optional(v.pipe(v.number(), v.integer('an integer'), v.minValue(0, 'not negative'))),
    properties: v.optional(Properties),
  }),
)

const more = { context: v.optional(Properties), page: v.optional(Page) }

export const SubjectQuery = v.object({ subject: Wanted, action: Action, resource: Entity, ...more })
export const ResourceQuery = v.object({ subject: Entity, action: Action, resource: Wanted, ...more })
export const ActionQuery = v.object({ subject: Entity, resource: Entity, ...more })

export type Query =
  | ({ of: 'subject' } & v.InferOutput<typeof SubjectQuery>)
  | ({ of: 'resource' } & v.InferOutput<typeof ResourceQuery>)
  | ({ of: 'action' } & v.InferOutput<typeof ActionQuery>)

import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { reasons } from '../decision/reasons.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { pagesOf } from '../scope/pages.ts'
import { ActionQuery, type Query, ResourceQuery, SubjectQuery } from '../scope/query.ts'
import type { Asked } from '../scope/question.ts'
import { type Searched, search as searchFor } from '../scope/search.ts'
import { answerersOf, askedOf, epochOf } from './asked.ts'
import { authenticated, sourceIo } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Context_ = v.object({
  /** Names the search on the record. */
  search_id: v.optional(v.string()),
  evaluated_at: v.pipe(v.string(), v.isoTimestamp()),
  recorded: v.boolean(),
  /** Hash of the bundle that was searched. */
  bundle: v.optional(v.string()),
  /** Why nothing was looked for. */
  reason: v.optional(v.picklist(Object.keys(reasons))),
})

const answerWith = (result: v.GenericSchema) =>
  v.object({
    page: v.optional(v.object({ next_token: v.string(), count: v.number() })),
    context: Context_,
    results: v.array(result),
  })

const Uid = v.object({ type: v.string(), id: v.string() })

/** Without policies nothing is permitted, so there is nothing to find. */
const without = (c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale') =>
  c.json({ context: { evaluated_at: new Date(c.var.now).toISOString(), recorded: false, reason }, results: [] })

const searches = authenticated(['agent', 'pep'], without, { settles: true })

const described = (summary: string, query: v.GenericSchema, result: v.GenericSchema) =>
  describeRoute({
    summary,
    requestBody: jsonBody(query),
    responses: { 200: json('What is permitted', answerWith(result)), ...problems(400, 401, 403, 409, 413, 429) },
  })

/** The AuthZEN search APIs (Authorization API 1.0): which, among what the bundle itself knows. */
export const search = new Hono<AppEnv>()
  .post('/access/v1/search/subject', described('Find who may do it', SubjectQuery, Uid), searches, c =>
    answered(c, SubjectQuery, query => ({ of: 'subject', ...query })),
  )
  .post('/access/v1/search/resource', described('Find what it may be done to', ResourceQuery, Uid), searches, c =>
    answered(c, ResourceQuery, query => ({ of: 'resource', ...query })),
  )
  .post(
    '/access/v1/search/action',
    described('Find what may be done', ActionQuery, v.object({ name: v.string() })),
    searches,
    c => answered(c, ActionQuery, query => ({ of: 'action', ...query })),
  )

const answered = async <S extends v.GenericSchema>(
  c: Context<AppEnv>,
  schema: S,
  queryOf: (given: v.InferOutput<S>) => Query,
): Promise<Response> => {
  const body = await readBody(c)
  if (isRefusal(body)) return problem(body)
  const given = read(schema, body.value)
  if (typeof given === 'object' && given !== null && isRefusal(given)) return problem(given)
  const query = queryOf(given)
  const epoch = await epochOf(c)
  if (!epoch) return without(c, 'bundle_stale')
  const asked = askedOf(c, epoch)
  const pages = pagesOf(c.env.SIGNING_KEYS, { tenant: asked.tenant, caller: asked.caller.name, now: c.var.now })
  const position = pages.read(query)
  if (position && isRefusal(position)) return problem(position)
  const call = position ? await pinned(c, asked, position.bundle) : asked
  if (isRefusal(call)) return problem(call)
  const found = await searchFor(query, call, answerersOf(c), position)
  if (isRefusal(found)) return problem(found)
  const next = found.next && pages.write(query, found.next)
  return c.json({ ...pageOf(query, found, next), ...contextOf(found), results: found.results })
}

/** The call under the bundle that the earlier pages came from; who calls is judged by the active one. */
const pinned = async (
  c: Context<AppEnv>,
  asked: Asked,
  older: { seq: number; hash: string },
): Promise<Asked | Refusal> => {
  const bundle = await c.var.parts.source.past(asked.tenant, older, sourceIo(c))
  return bundle ? { ...asked, bundle } : refusal(409, 'page_bundle_gone')
}

const pageOf = ({ page }: Query, { results }: Searched, next: string | undefined) =>
  page || next !== undefined ? { page: { next_token: next ?? '', count: results.length } } : {}

const contextOf = ({ id, at, recorded, bundle, reason }: Searched) => ({
  context: {
    ...(id !== undefined && { search_id: id }),
    evaluated_at: new Date(at).toISOString(),
    recorded,
    bundle,
    ...(reason !== undefined && { reason }),
  },
})

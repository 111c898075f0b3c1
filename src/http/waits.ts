import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { hasArrived } from '../facts/waits.ts'
import { actorAt } from './acting.ts'
import { authenticated } from './authenticated.ts'
import { inQuery, json, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Query = v.strictObject({
  /** How long to hold the line for the end of the wait. */
  seconds: v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,2}$/, '0 to 25 seconds'), v.transform(Number), v.maxValue(25, 'at most 25')),
    '0',
  ),
})

const Wait = v.object({
  evaluation_id: v.string(),
  /** `ready`: ask again, naming the evaluation in `context.continues`. `open`: not yet; `asked`: of a human. The others are final. */
  state: v.picklist(['open', 'ready', 'continued', 'expired', 'asked']),
  until: v.pipe(v.string(), v.isoTimestamp()),
  /** The evaluation that took the action up again, or the denial that ended the wait. */
  by: v.optional(v.string()),
})

/** Where who was deferred learns that it is time to ask again. */
export const waits = new Hono<AppEnv>().get(
  '/v1/waits/:type/:id/:evaluation',
  describeRoute({
    summary: 'Whether what a deferred decision waits for has come; may be held until it has',
    parameters: inQuery(Query),
    responses: { 200: json('The wait', Wait), ...problems(400, 401, 403, 404) },
  }),
  authenticated(['agent', 'pep', 'auditor', 'admin']),
  async c => {
    const query = read(Query, c.req.query())
    if (isRefusal(query)) return problem(query)
    const agent = { type: c.req.param('type'), id: c.req.param('id') }
    const evaluationId = c.req.param('evaluation')
    const { bundle, caller } = c.var.session
    const own = caller.principals?.actor
    const sees = caller.roles.some(role => role !== 'agent' && role !== 'source' && role !== 'approver')
    if (!sees && !(own?.type === agent.type && own.id === agent.id)) return problem(refusal(403, 'subject_mismatch'))
    if (!bundle.schema.entityTypes.has(agent.type)) return problem(refusal(404, 'not_found'))
    const { tenant } = c.var.place
    const object = c.env.AGENT.getByName((await actorAt(c, agent)).name)
    const now = await object.waiting({ v: 1, evaluationId, ms: 0 })
    if (!now) return problem(refusal(404, 'not_found'))
    // A fact whose word never reached the object is found here.
    if (now.state === 'open' && (await hasArrived(c.env.DB, tenant, now.needs))) {
      await object.wake({ v: 1, evaluationIds: [evaluationId] })
    }
    const wait = await object.waiting({ v: 1, evaluationId, ms: now.state === 'open' ? query.seconds * 1_000 : 0 })
    const { state, until, by } = wait ?? now
    return c.json({
      evaluation_id: evaluationId,
      state,
      until: new Date(until).toISOString(),
      ...(by !== undefined && { by }),
    } satisfies v.InferOutput<typeof Wait>)
  },
)

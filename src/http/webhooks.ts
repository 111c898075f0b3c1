import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { rotateSecret } from '../escalation/secrets.ts'
import { deliveriesOf } from '../escalation/store.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { inQuery, json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import { escalationAt } from './requests.ts'
import type { AppEnv } from './types.ts'

const Rotation = v.strictObject({
  /** How long the secrets before it still sign, in seconds. */
  overlap: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(7 * 86_400)), 86_400),
})
const Query = v.strictObject({ status: v.optional(v.picklist(['pending', 'sent', 'dead', 'dropped'])) })
const Replay = v.strictObject({ task: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)) })

/** What an admin does about webhooks. */
export const webhooks = new Hono<AppEnv>()
  .use('/v1/webhooks/*', authenticated(['admin']))
  .post(
    '/v1/webhooks/:name/secrets',
    describeRoute({
      summary: "Make a webhook's next secret (Standard Webhooks); it is shown this once",
      requestBody: jsonBody(Rotation),
      responses: {
        201: json('The secret', v.object({ id: v.string(), secret: v.string(), replaced: v.number() })),
        ...problems(400, 401, 403, 404),
      },
    }),
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const rotation = read(Rotation, body.value)
      if (isRefusal(rotation)) return problem(rotation)
      const webhook = c.req.param('name')
      if (!Object.hasOwn(c.var.session.bundle.settings.webhooks, webhook)) return problem(refusal(404, 'not_found'))
      const made = await rotateSecret(c.env, {
        tenant: c.var.place.tenant,
        webhook,
        now: c.var.now,
        overlapMs: rotation.overlap * 1000,
      })
      return c.json(made, 201)
    },
  )
  .get(
    '/v1/webhooks/deliveries',
    describeRoute({
      summary: 'Messages and what became of them; `status=dead` are those that were given up',
      parameters: inQuery(Query),
      responses: {
        200: json('The newest 200', v.object({ deliveries: v.array(v.record(v.string(), v.unknown())) })),
        ...problems(400, 401, 403),
      },
    }),
    async c => {
      const query = read(Query, c.req.query())
      if (isRefusal(query)) return problem(query)
      const rows = await deliveriesOf(c.env.DB, c.var.place.tenant, query.status, 200)
      return c.json({
        deliveries: rows.map(({ tenant: _, ...row }) => ({ ...row, at: new Date(row.at).toISOString() })),
      })
    },
  )
  .post(
    '/v1/webhooks/deliveries/:id/replay',
    describeRoute({
      summary: 'Send a message again that was given up, with the same id',
      requestBody: jsonBody(Replay),
      responses: {
        200: json('Whether there was such a message', v.object({ replayed: v.boolean() })),
        ...problems(400, 401, 403),
      },
    }),
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const which = read(Replay, body.value)
      if (isRefusal(which)) return problem(which)
      return c.json(await escalationAt(c, which.task).replay({ delivery: c.req.param('id'), at: c.var.now }))
    },
  )

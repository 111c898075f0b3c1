import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import type { Status } from '../agent/calls/standing.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { noteTaking } from '../delegation/noted.ts'
import { takeAway } from '../delegation/take-away.ts'
import { entityKey } from '../identity/lineage.ts'
import { uidText } from '../identity/uid.ts'
import { actorAt } from './acting.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { inQuery, json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import { TraceAnswer, traceAnswer } from './session-answer.ts'
import { takingIo } from './taking.ts'
import { Time, timeText } from './time.ts'
import type { AppEnv } from './types.ts'

/** Why an admin does it. */
export const Why = v.object({ reason: v.pipe(v.string(), v.minLength(1), v.maxLength(1_000)) })

const Resume = v.object({
  ...Why.entries,
  /** Give back as well what security events took until now. */
  lift_events: v.optional(v.boolean(), false),
})

const Standing = v.object({
  suspended: v.boolean(),
  /** When it was last suspended or resumed, and by whom. */
  since: v.optional(Time),
  by: v.optional(v.string()),
  /** Every decision of this agent from then on sees it. */
  confirmed_at: Time,
  /** Whether this call changed it; repeating one changes nothing. */
  changed: v.boolean(),
  /** How many other agents hold something that comes from it, and were told. */
  descendants: v.number(),
  /** Whether what security events took was given back. */
  events_lifted: v.optional(v.boolean()),
})

/** An object's own account of the agent; what it never had is absent. */
const Agent = v.object({
  agent: v.object({ type: v.string(), id: v.string() }),
  suspended: v.boolean(),
  /** When it was last suspended or resumed, and by whom. */
  since: v.optional(Time),
  by: v.optional(v.string()),
  /** The newest bundle that it has seen. */
  bundle: v.optional(v.object({ seq: v.number(), hash: v.string() })),
  /** The last receipt of its chain. */
  head: v.optional(v.object({ seq: v.number(), hash: v.string(), at: Time })),
  /** Receipts that D1 hasn't confirmed, and when the oldest of them was made. */
  unflushed: v.object({ count: v.number(), since: v.optional(Time) }),
  /** Those that haven't lapsed, the newest first. */
  permits: v.array(v.object({ evaluation_id: v.string(), expires_at: Time })),
  /** How many outcomes should have been reported by now. */
  overdue: v.number(),
  /** Where the record contradicted the chain. */
  fork: v.optional(v.number()),
})

/** Without an id it is the one session of an agent that names none. */
const OfSession = v.strictObject({ id: v.optional(v.string(), '') })

const described = (summary: string) =>
  describeRoute({
    summary,
    requestBody: jsonBody(Why),
    responses: { 200: json('The agent now', Standing), ...problems(400, 401, 403, 404, 413) },
  })

/** What an admin does about one agent: by its Cedar entity, whether the bundle lists it or not. */
export const agents = new Hono<AppEnv>()
  .use('/v1/agents/*', authenticated(['admin']))
  .post('/v1/agents/:type/:id/suspend', described('Refuse all that the agent asks from now on'), c =>
    stand(c, 'suspend'),
  )
  .post('/v1/agents/:type/:id/resume', described('Judge the agent again'), c => stand(c, 'resume'))
  .get(
    '/v1/agents/:type/:id',
    describeRoute({
      summary: "The agent's standing, the head of its chain and its unflushed receipts",
      responses: { 200: json('The agent', Agent), ...problems(401, 403, 404) },
    }),
    async c => {
      const agent = agentOf(c)
      if (!known(c, agent)) return problem(refusal(404, 'not_found'))
      const status = await c.env.AGENT.getByName((await actorAt(c, agent)).name).status()
      return status ? c.json(agentAnswer(agent, status)) : problem(refusal(404, 'not_found'))
    },
  )
  .get(
    '/v1/agents/:type/:id/session',
    describeRoute({
      summary: 'What a session is remembered by, step by step',
      parameters: inQuery(OfSession),
      responses: { 200: json('The session', TraceAnswer), ...problems(400, 401, 403, 404) },
    }),
    async c => {
      const query = read(OfSession, c.req.query())
      if (isRefusal(query)) return problem(query)
      const agent = agentOf(c)
      if (!known(c, agent)) return problem(refusal(404, 'not_found'))
      const object = c.env.AGENT.getByName((await actorAt(c, agent)).name)
      const trace = await object.session(query.id)
      return trace ? c.json(traceAnswer(trace)) : problem(refusal(404, 'not_found'))
    },
  )

const agentAnswer = (
  agent: { type: string; id: string },
  { since, head, unflushed, permits, ...status }: Status,
): v.InferOutput<typeof Agent> => ({
  agent,
  ...status,
  ...(since !== undefined && { since: timeText(since) }),
  ...(head && { head: { ...head, at: timeText(head.at) } }),
  unflushed: {
    count: unflushed.count,
    ...(unflushed.since !== undefined && { since: timeText(unflushed.since) }),
  },
  permits: permits.map(({ evaluationId, expiresAt }) => ({
    evaluation_id: evaluationId,
    expires_at: timeText(expiresAt),
  })),
})

const stand = async (c: Context<AppEnv>, change: 'suspend' | 'resume'): Promise<Response> => {
  const body = await readBody(c)
  if (isRefusal(body)) return problem(body)
  const why = read(Resume, body.value)
  if (isRefusal(why)) return problem(why)
  const agent = agentOf(c)
  if (!known(c, agent)) return problem(refusal(404, 'not_found'))
  const { tenant } = c.var.place
  const { name, as } = await actorAt(c, agent)
  const standing = await c.env.AGENT.getByName(name)[change]({
    v: 1,
    tenant,
    agent: uidText(as),
    by: c.var.session.caller.name,
    reason: why.reason,
    at: c.var.now,
  })
  const { suspended, since, by: last, changed } = standing
  const by = c.var.session.caller.name
  const { reason } = why
  const events = change === 'resume' && why.lift_events
  const io = takingIo(c, c.var.session.bundle)
  // The agent's own object comes first: from then on it hands nothing on.
  const taken = await takeAway(
    {
      tenant,
      key: entityKey(agent),
      by,
      reason,
      lifted: change === 'resume',
      events,
      now: Math.max(c.var.now, standing.confirmedAt),
      // What security events took it was told itself.
      ...(events && { holder: name }),
    },
    io,
  )
  const { confirmedAt, told } = taken
  if (events && taken.changed)
    await noteTaking(
      { tenant, kind: 'restoration', of: agent, by, reason, about: { of: 'security_events' }, taken },
      io,
    )
  return c.json({
    suspended,
    ...(since !== undefined && { since: timeText(since) }),
    ...(last !== undefined && { by: last }),
    confirmed_at: timeText(confirmedAt),
    changed,
    descendants: told,
    ...(events && { events_lifted: taken.changed }),
  } satisfies v.InferOutput<typeof Standing>)
}

/** A type that the bundle doesn't know has no agents, and must not get objects. */
const known = (c: Context<AppEnv>, { type }: { type: string }): boolean =>
  c.var.session.bundle.schema.entityTypes.has(type)

const agentOf = (c: Context<AppEnv>): { type: string; id: string } => ({
  type: c.req.param('type') ?? '',
  id: c.req.param('id') ?? '',
})

import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import type { Epoch } from '../agent/calls/kills.ts'
import { recentChains } from '../audit/store.ts'
import { entityRef } from '../cedar/value.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { Target, targetName, targetText } from '../decision/targets.ts'
import { nameOf } from '../durable/names.ts'
import { BOUND_SECONDS } from '../policy/epochs.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { actorAt } from './acting.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Kill = v.object({
  target: Target,
  reason: v.pipe(v.string(), v.minLength(1), v.maxLength(1_000)),
  /** Of a session: whose it is, so that its object hears of it in this call. */
  agent: v.optional(v.object({ type: v.string(), id: v.string() })),
})

const Switched = v.object({
  /** How often the tenant's switches have changed. */
  seq: v.number(),
  changed: v.boolean(),
  /** Agents' objects that were told in this call; all others hear of it within the bound. */
  told: v.number(),
  bound_seconds: v.number(),
})

const Switches = v.object({
  seq: v.number(),
  kills: v.array(v.object({ target: v.string(), by: v.string(), reason: v.string(), since: v.string() })),
})

const described = (summary: string) =>
  describeRoute({
    summary,
    requestBody: jsonBody(Kill),
    responses: { 200: json('The switches', Switched), ...problems(400, 401, 403, 409, 413) },
  })

/** Kill switches for more than one agent. */
export const kills = new Hono<AppEnv>()
  .use('/v1/kills/*', authenticated(['admin']))
  .get(
    '/v1/kills',
    describeRoute({
      summary: 'What is stopped, by whom, and why',
      responses: { 200: json('The switches', Switches), ...problems(401, 403) },
    }),
    async c => {
      const { seq, kills } = await keeper(c).kills()
      return c.json({
        seq,
        kills: kills.map(({ shown, by, reason, at }) => ({
          target: shown,
          by,
          reason,
          since: new Date(at).toISOString(),
        })),
      })
    },
  )
  .post('/v1/kills', described('Stop a tenant, agent, session, user, group, action or tool'), c => change(c, true))
  .post('/v1/kills/lift', described('Let it go on'), c => change(c, false))

const keeper = (c: Context<AppEnv>) => c.env.AGENT.getByName(nameOf('kills', c.var.place.tenant))

const change = async (c: Context<AppEnv>, killed: boolean): Promise<Response> => {
  const body = await readBody(c)
  if (isRefusal(body)) return problem(body)
  const asked = read(Kill, body.value)
  if (isRefusal(asked)) return problem(asked)
  // A misspelt switch would stop nothing, and nobody would know. What is on can be lifted, whatever the bundle has by now.
  const unknown = killed ? unknownIn(asked.target, c.var.session.bundle) : undefined
  if (unknown) return problem(refusal(400, 'malformed_request', unknown))
  const { tenant } = c.var.place
  const reply = await keeper(c).kill({
    v: 1,
    tenant,
    target: targetName(asked.target),
    shown: targetText(asked.target),
    killed,
    by: c.var.session.caller.name,
    reason: asked.reason,
    at: c.var.now,
  })
  if ('kind' in reply) return problem(refusal(409, 'too_many_kills'))
  const { epoch, changed } = reply
  const told = await tell(c, epoch, asked)
  return c.json({ seq: epoch.seq, changed, told, bound_seconds: BOUND_SECONDS })
}

/** Where a switch names what the schema doesn't have. */
const unknownIn = (target: Target, { schema }: LoadedBundle): { pointer: string; detail: string } | undefined => {
  if (target.kind === 'action' && !schema.actions.has(entityRef('Action', target.id).key))
    return { pointer: '/target/id', detail: 'the schema has no such action' }
  return 'type' in target && !schema.entityTypes.has(target.type)
    ? { pointer: '/target/type', detail: 'the schema has no such type' }
    : undefined
}

/** Tells the objects of agents that were active of late, and of those that the switch names. */
const tell = async (
  c: Context<AppEnv>,
  epoch: Epoch,
  { target, agent }: v.InferOutput<typeof Kill>,
): Promise<number> => {
  const { tenant } = c.var.place
  const { entityTypes } = c.var.session.bundle.schema
  // A type that no bundle knows has no agents, and must not get objects.
  const named = [agent, target.kind === 'agent' ? target : undefined].filter(uid => uid && entityTypes.has(uid.type))
  const chains = await activeIn(c, tenant)
  const own = await Promise.all(named.flatMap(uid => (uid ? [actorAt(c, uid)] : [])))
  const names = new Set([...own.map(({ name }) => name), ...chains])
  names.delete(nameOf('kills', tenant))
  const results = await Promise.allSettled([...names].map(name => c.env.AGENT.getByName(name).learn(epoch)))
  return results.filter(({ status }) => status === 'fulfilled').length
}

/** None where the record can't be read: whom the switch names is told all the same, and the others hear of it. */
const activeIn = async (c: Context<AppEnv>, tenant: string): Promise<string[]> => {
  try {
    return await recentChains(c.env.DB, tenant, c.var.now - ACTIVE_MS, MOST_TOLD)
  } catch (error) {
    console.warn(`tenant ${tenant}: active agents are not told of a switch: ${error}`)
    return []
  }
}

const ACTIVE_MS = 86_400_000
const MOST_TOLD = 500

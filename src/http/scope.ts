import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { reasons } from '../decision/reasons.ts'
import { isRefusal } from '../decision/refusal.ts'
import { FILTER_MS } from '../scope/legs.ts'
import { type Scoped, ScopeQuery, scope as scopeFor } from '../scope/scope.ts'
import { answerersOf, askedOf, epochOf } from './asked.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const ScopeAnswer = v.object({
  scope: v.picklist(['always', 'never', 'when']),
  /** A tree of conditions, as `src/sdk/scope/filter.ts` describes it; where `scope` is `when`. */
  condition: v.optional(v.record(v.string(), v.unknown())),
  /** Whether it has all that would be permitted one by one. It never has more. */
  exact: v.boolean(),
  /** Fields that must be kept back of every row. */
  mask: v.optional(v.array(v.string())),
  /** Seconds since the epoch: from then on it must not be used. */
  exp: v.number(),
  /** The activation that it comes from. */
  seq: v.number(),
  context: v.object({
    scope_id: v.optional(v.string()),
    evaluated_at: v.pipe(v.string(), v.isoTimestamp()),
    recorded: v.boolean(),
    bundle: v.optional(v.string()),
    reason: v.optional(v.picklist(Object.keys(reasons))),
    problems: v.optional(v.array(v.object({ pointer: v.string(), code: v.string(), expected: v.string() }))),
    /** Policies of which something couldn't be said; for those who are told policies. */
    inexact: v.optional(v.array(v.string())),
  }),
})

/** Seconds that a filter may be used: as long as a permit. */
const LIFE = FILTER_MS / 1000

const answerOf = ({ filter, exact, bundle, at, recorded, ...more }: Scoped, explain: boolean) => ({
  ...filter,
  exact,
  ...(more.mask.length > 0 && { mask: more.mask }),
  exp: Math.floor(at / 1000) + LIFE,
  seq: bundle.seq,
  context: {
    ...(more.id !== undefined && { scope_id: more.id }),
    evaluated_at: new Date(at).toISOString(),
    recorded,
    ...(bundle.hash !== '' && { bundle: bundle.hash }),
    ...(more.reason !== undefined && { reason: more.reason }),
    ...(more.problems && { problems: more.problems }),
    ...(explain && more.inexact.length > 0 && { inexact: more.inexact }),
  },
})

const without = (c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale') => {
  const bundle = { seq: 0, hash: '' }
  const nothing: Scoped = {
    filter: { scope: 'never' },
    exact: true,
    inexact: [],
    mask: [],
    recorded: false,
    at: c.var.now,
    bundle,
    reason,
  }
  return c.json(answerOf(nothing, false))
}

/** Row filters: which of a store's rows an agent may see or touch, asked once for all of them. */
export const scope = new Hono<AppEnv>().post(
  '/v1/scope',
  describeRoute({
    summary: 'The filter for the resources of a type that an action may be done to',
    requestBody: jsonBody(ScopeQuery),
    responses: { 200: json('The filter', ScopeAnswer), ...problems(400, 401, 403, 413, 422, 429) },
  }),
  authenticated(['agent', 'pep'], without, { settles: true }),
  async c => {
    const body = await readBody(c)
    if (isRefusal(body)) return problem(body)
    const query = read(ScopeQuery, body.value)
    if (isRefusal(query)) return problem(query)
    const epoch = await epochOf(c)
    if (!epoch) return without(c, 'bundle_stale')
    const scoped = await scopeFor(query, askedOf(c, epoch), answerersOf(c))
    if (isRefusal(scoped)) return problem(scoped)
    const { bundle, caller } = c.var.session
    return c.json(answerOf(scoped, bundle.settings.explain_to_agents || caller.roles.includes('pep')))
  },
)

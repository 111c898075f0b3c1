import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { uuidv7 } from 'uuidv7'
import * as v from 'valibot'
import { Answer, FailedItem, failedItem, unrecorded } from '../decision/answer.ts'
import { Ask, asksOf, Batch, read, type Semantic } from '../decision/ask.ts'
import type { Call } from '../decision/call.ts'
import { decide } from '../decision/decide.ts'
import type { Reason } from '../decision/reasons.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import type { Result } from '../decision/result.ts'
import { sha256 } from '../durable/hash.ts'
import { presentedIn } from '../escalation/presented.ts'
import { signer } from '../identity/keys.ts'
import { answerersOf, askedOf, epochOf } from './asked.ts'
import { authenticated, verificationOf } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { flood } from './flood.ts'
import { limitHeaders } from './limit-headers.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

/** Without policies every question has one answer, and it stands on no record. */
const closed = (c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale') =>
  unrecorded(reason, { evaluationId: uuidv7(), now: c.get('now') })

/** The AuthZEN decision API (Authorization API 1.0). */
export const access = new Hono<AppEnv>()
  .post(
    '/access/v1/evaluation',
    describeRoute({
      summary: 'Judge one action',
      requestBody: jsonBody(Ask),
      responses: { 200: json('The decision', Answer), ...problems(400, 401, 403, 413, 422, 429) },
    }),
    authenticated(['agent', 'pep'], (c, reason) => c.json(closed(c, reason)), { settles: true }),
    flood,
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      return single(c, body)
    },
  )
  .post(
    '/access/v1/evaluations',
    describeRoute({
      summary: 'Judge several actions, in order',
      requestBody: jsonBody(v.object({ ...Batch.entries, evaluations: v.array(v.partial(Ask)) })),
      responses: {
        200: json('The decisions', v.object({ evaluations: v.array(v.union([Answer, FailedItem])) })),
        ...problems(400, 401, 403, 413, 422, 429),
      },
    }),
    authenticated(
      ['agent', 'pep'],
      async (c, reason) => {
        // As many answers as there would have been: a caller may look for them by their place.
        const batch = await readBatch(c)
        if (isRefusal(batch)) return problem(batch)
        const { evaluations, options } = batch.value
        if (evaluations.length === 0) return c.json(closed(c, reason))
        const reached = options.evaluations_semantic === 'deny_on_first_deny' ? evaluations.slice(0, 1) : evaluations
        return c.json({ evaluations: reached.map(() => closed(c, reason)) })
      },
      { settles: true },
    ),
    flood,
    async c => {
      const batch = await readBatch(c)
      if (isRefusal(batch)) return problem(batch)
      const { evaluations, options } = batch.value
      if (evaluations.length === 0) return single(c, batch.body)
      const results = await judge(c, asksOf(batch.value), batch.body.text, STOPS[options.evaluations_semantic])
      if (isProblem(results)) return problem(results)
      return c.json({ evaluations: results.map(result => (isRefusal(result) ? failedItem(result) : result)) })
    },
  )

const STOPS: Record<Semantic, Call['stop']> = {
  execute_all: 'never',
  deny_on_first_deny: 'first_deny',
  permit_on_first_permit: 'first_permit',
}

type Body = { value: unknown; text: string }

const readBatch = async (c: Context<AppEnv>): Promise<{ body: Body; value: Batch } | Refusal> => {
  const body = await readBody(c)
  if (isRefusal(body)) return body
  const value = read(Batch, body.value)
  return isRefusal(value) ? value : { body, value }
}

const single = async (c: Context<AppEnv>, body: Body): Promise<Response> => {
  const ask = read(Ask, body.value)
  if (isRefusal(ask)) return problem(ask)
  const results = await judge(c, [ask], body.text, 'never')
  if (isProblem(results)) return problem(results)
  const [result] = results
  if (!result) throw new Error('one action, no result')
  if (isRefusal(result)) return problem(result)
  return c.json(result, 200, limitHeaders(result))
}

const judge = async (
  c: Context<AppEnv>,
  asks: (Ask | Refusal)[],
  body: string,
  stop: Call['stop'],
): Promise<Result[] | Refusal> => {
  const key = c.req.header('idempotency-key')
  if (key !== undefined && !IDEMPOTENCY_KEY.test(key)) {
    return refusal(400, 'malformed_request', { detail: 'Idempotency-Key is 1 to 255 visible ASCII characters' })
  }
  const epoch = await epochOf(c)
  // Who can't tell what is stopped allows nothing.
  if (!epoch) return asks.map(ask => (isRefusal(ask) ? ask : closed(c, 'bundle_stale')))
  const call: Call = {
    ...askedOf(c, epoch),
    identifier: identifierOf(c.get('place').tenant, c.env),
    ...(key !== undefined && { idempotency: { key, bodyHash: sha256(body) } }),
    stop,
  }
  const results = await decide(asks, call, {
    ...answerersOf(c),
    signer: await signer(c.env),
    presented: ask => presentedIn(ask, c.env, { tenant: call.identifier, now: c.get('now') }),
    facts: { db: c.env.DB, trust: bundle => verificationOf(c, bundle) },
  })
  // A key that was used for another body refuses the whole call, and so does a proof that was used before.
  return results.filter(isRefusal).find(({ reason }) => WHOLE_CALL.has(reason)) ?? results
}

const WHOLE_CALL = new Set<Reason>(['idempotency_mismatch', 'invalid_dpop_proof'])

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/

const isProblem = (results: Result[] | Refusal): results is Refusal => !Array.isArray(results)

import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { ClaimAnswer, claimAnswer } from '../decision/answer.ts'
import { read } from '../decision/ask.ts'
import { Moment } from '../decision/moment.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { tellsOf } from '../decision/result.ts'
import { type Entry, historyOf, record } from '../facts/ledger.ts'
import { settleBy } from '../facts/outcomes.ts'
import { entryOf, UNKNOWN_FACT } from '../facts/push.ts'
import { Statement } from '../facts/statement.ts'
import { MAX_VERIFIED, verify } from '../facts/verify.ts'
import { wakeFor } from '../facts/waits.ts'
import { uidText } from '../identity/uid.ts'
import { authenticated, verificationOf } from './authenticated.ts'
import { readBody } from './body.ts'
import { inQuery, json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

/** Items are read one by one: what is wrong with one is no reason to lose the others. */
const Push = v.object({ facts: v.pipe(v.array(v.unknown()), v.minLength(1), v.maxLength(500, 'at most 500 facts')) })

const Pushed = v.object({
  /** In the order of the batch. */
  facts: v.array(
    v.union([
      v.object({ status: v.picklist(['recorded', 'known', 'conflict']), id: v.string(), hash: v.string() }),
      v.object({
        status: v.literal('refused'),
        reason: v.picklist(['malformed', 'out_of_scope', 'undeclared', 'mistyped', 'unknown_fact']),
        pointer: v.string(),
        detail: v.string(),
      }),
    ]),
  ),
})
type Pushed = v.InferOutput<typeof Pushed>

const Uid = v.object({ type: v.pipe(v.string(), v.maxLength(512)), id: v.pipe(v.string(), v.maxLength(512)) })

const Verify = v.object({
  claims: v.pipe(
    v.array(v.object({ name: v.string(), entity: Uid, value: v.unknown() })),
    v.minLength(1),
    v.maxLength(MAX_VERIFIED, `at most ${MAX_VERIFIED} claims`),
  ),
  attestations: v.optional(v.array(v.string()), []),
})

const Verified = v.object({
  claims: v.array(ClaimAnswer),
  /** Attestations that count for nothing, and why. */
  refused: v.array(v.object({ pointer: v.string(), code: v.string() })),
})

const Query = v.strictObject({
  type: v.string(),
  id: v.string(),
  predicate: v.optional(v.string()),
  source: v.optional(v.string()),
  /** What was known then; by default now. */
  as_of: v.optional(Moment),
  before: v.optional(v.pipe(v.string(), v.regex(/^[1-9]\d{0,15}$/, 'what `next` said'), v.transform(Number))),
})

const Row = v.object({
  n: v.number(),
  id: v.string(),
  hash: v.string(),
  source: v.string(),
  predicate: v.string(),
  value: v.unknown(),
  observed_at: v.string(),
  valid_until: v.string(),
  recorded_at: v.string(),
  evidence: v.optional(v.string()),
  supersedes: v.optional(v.string()),
})

const PAGE = 100

/** The ledger of facts: sources write it, claims are held against it, auditors read what was believed when. */
export const facts = new Hono<AppEnv>()
  .post(
    '/v1/facts',
    describeRoute({
      summary: 'State facts, as a source of record; a batch that comes twice is written once',
      requestBody: jsonBody(v.object({ facts: v.array(Statement) })),
      responses: { 200: json('What became of each', Pushed), ...problems(400, 401, 403, 413) },
    }),
    authenticated(['source']),
    async c => {
      const { bundle, caller } = c.var.session
      const source = caller.source === undefined ? undefined : bundle.facts.sources.get(caller.source)
      if (!source) return problem(refusal(403, 'not_a_source'))
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const push = read(Push, body.value)
      if (isRefusal(push)) return problem(push)
      const { tenant } = c.var.place
      const entries = push.facts.map(item => entryOf(item, { tenant, source, bundle, now: c.var.now }))
      const stated = entries.flatMap(entry => ('status' in entry ? [] : entry))
      const recorded = await record(c.env.DB, stated, c.var.now)
      await tell(
        c,
        stated.filter((_, index) => recorded[index]),
      )
      const facts = entries.map(entry => ('status' in entry ? entry : (recorded.shift() ?? UNKNOWN_FACT)))
      return c.json({ facts } satisfies Pushed)
    },
  )
  .post(
    '/v1/facts/verify',
    describeRoute({
      summary: 'Hold claims against the facts',
      requestBody: jsonBody(Verify),
      responses: { 200: json('What became of each claim', Verified), ...problems(400, 401, 403, 413) },
    }),
    authenticated(['pep', 'admin', 'auditor']),
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const asked = read(Verify, body.value)
      if (isRefusal(asked)) return problem(asked)
      const { bundle } = c.var.session
      const { tenant } = c.var.place
      const verified = await verify(asked, {
        db: c.env.DB,
        tenant,
        bundle,
        now: c.var.now,
        trust: verificationOf(c, bundle),
      })
      if (isRefusal(verified)) return problem(verified)
      const claims = verified.claims.map(claim => claimAnswer(claim, tellsOf(c.var.session)))
      return c.json({ claims, refused: verified.refused } satisfies v.InferOutput<typeof Verified>)
    },
  )
  .get(
    '/v1/facts',
    describeRoute({
      summary: 'What was stated of an entity, as it was known at a time; the latest first',
      parameters: inQuery(Query),
      responses: {
        200: json('One page', v.object({ facts: v.array(Row), next: v.optional(v.string()) })),
        ...problems(400, 401, 403),
      },
    }),
    authenticated(['auditor', 'admin']),
    async c => {
      const query = read(Query, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { type, id, predicate, source, as_of, before } = query
      const of = {
        entity: uidText({ type, id }),
        ...(predicate !== undefined && { predicate }),
        ...(source !== undefined && { source }),
        ...(before !== undefined && { before }),
        asOf: as_of === undefined ? c.var.now : Date.parse(as_of),
      }
      const rows = await historyOf(c.env.DB, c.var.place.tenant, of, PAGE)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return c.json({ facts: rows.map(shown), ...(last && { next: String(last.n) }) })
    },
  )

/** Whoever waits for these facts is woken, and what they tell the outcome of gets it; where that fails, asking finds them. */
const tell = async (c: Context<AppEnv>, stated: readonly Entry[]): Promise<void> => {
  const { tenant } = c.var.place
  const { DB: db, AGENT: agents } = c.env
  const told = await Promise.allSettled([
    wakeFor(db, agents, tenant, stated),
    settleBy(stated, { db, agents, tenant, bundle: c.var.session.bundle, now: c.var.now }),
  ])
  for (const one of told) {
    if (one.status === 'rejected') console.warn(`those whom facts concern could not be told: ${one.reason}`)
  }
}

const shown = (row: Awaited<ReturnType<typeof historyOf>>[number]): v.InferOutput<typeof Row> => ({
  n: row.n,
  id: row.id,
  hash: row.hash,
  source: row.source,
  predicate: row.predicate,
  value: JSON.parse(row.value),
  observed_at: new Date(row.observedAt).toISOString(),
  valid_until: new Date(row.validUntil).toISOString(),
  recorded_at: new Date(row.recordedAt).toISOString(),
  ...(row.evidence !== null && { evidence: row.evidence }),
  ...(row.supersedes !== null && { supersedes: row.supersedes }),
})

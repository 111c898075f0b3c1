import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { type OutcomeReply, reported } from '../agent/calls/outcomes.ts'
import { receiptOf } from '../audit/store.ts'
import { statedBy } from '../decision/act.ts'
import { Properties, read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { actorAt } from './acting.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Text = v.pipe(v.string(), v.minLength(1), v.maxLength(512))

const Report = v.object({
  outcome: v.picklist(reported),
  /** Of the action's result, as the reporter makes it. */
  result_hash: v.optional(Text),
  note: v.optional(v.pipe(v.string(), v.maxLength(1_000))),
  /** The decision's subject. Spares a gateway's report a read of the record. */
  subject: v.optional(v.object({ type: Text, id: Text, properties: v.optional(Properties) })),
})

const Recorded = v.object({
  evaluation_id: v.string(),
  outcome: v.picklist(reported),
  /** Whether it is the agent's own word alone, which frees and settles nothing. */
  claim: v.boolean(),
  /** How much of budgets came free. */
  freed: v.number(),
  recorded_at: v.pipe(v.string(), v.isoTimestamp()),
  receipt: v.object({ seq: v.number(), hash: v.string() }),
})

/** What became of what was allowed. */
export const outcomes = new Hono<AppEnv>().post(
  '/v1/decisions/:id/outcome',
  describeRoute({
    summary: 'Report what became of an allowed action',
    requestBody: jsonBody(Report),
    responses: { 200: json('The report, on record', Recorded), ...problems(400, 401, 403, 404, 409, 413) },
  }),
  authenticated(['agent', 'pep', 'admin']),
  async c => {
    const body = await readBody(c)
    if (isRefusal(body)) return problem(body)
    const asked = read(Report, body.value)
    if (isRefusal(asked)) return problem(asked)
    const evaluationId = c.req.param('id')
    if (!v.is(v.pipe(v.string(), v.uuid()), evaluationId)) return problem(refusal(404, 'not_found'))
    const { caller, bundle } = c.var.session
    const { tenant } = c.var.place
    const trusted = caller.roles.some(role => role === 'pep' || role === 'admin')
    const report = {
      v: 1 as const,
      evaluationId,
      outcome: asked.outcome,
      trusted,
      by: caller.name,
      at: c.var.now,
      ...(asked.result_hash !== undefined && { resultHash: asked.result_hash }),
      ...(asked.note !== undefined && { note: asked.note }),
    }
    const acting = trusted && asked.subject && statedBy(asked.subject, bundle)
    if (acting && isRefusal(acting)) return problem(acting)
    // an agent speaks of its own decisions alone, and one that no rule knows has none
    const whose = trusted ? (acting ? acting.actor : asked.subject) : caller.principals?.actor
    if (!trusted && !whose) return problem(refusal(404, 'not_found'))
    // a type that no bundle knows has no agents, and must not get objects
    const name = whose && bundle.schema.entityTypes.has(whose.type) ? (await actorAt(c, whose)).name : undefined
    let reply: OutcomeReply = { kind: 'not_found' }
    if (name !== undefined) reply = await c.env.AGENT.getByName(name).report(report)
    if (reply.kind === 'not_found') {
      const first = await receiptOf(c.env.DB, tenant, evaluationId)
      if (first && (whose === undefined || first.chain === name)) {
        reply = await c.env.AGENT.getByName(first.chain).report({ ...report, seq: first.seq })
      }
    }
    switch (reply.kind) {
      case 'not_found':
      case 'earlier':
        return problem(refusal(404, 'not_found'))
      case 'not_permitted':
        return problem(refusal(409, 'nothing_permitted'))
      case 'settled':
        return problem(refusal(409, 'outcome_settled', { detail: `it is on record as ${reply.outcome}` }))
      case 'recorded': {
        const { outcome, claim, freed, at, receipt } = reply
        const recorded_at = new Date(at).toISOString()
        return c.json({ evaluation_id: evaluationId, outcome, claim, freed, recorded_at, receipt })
      }
    }
  },
)

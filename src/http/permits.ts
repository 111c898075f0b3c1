import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import type { RedeemReply } from '../agent/calls/outcomes.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { publicJwks } from '../identity/keys.ts'
import { readPermit } from '../identity/permit.ts'
import { actorAt } from './acting.ts'
import { epochOf } from './asked.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

const Redeem = v.object({ permit: v.pipe(v.string(), v.maxLength(8_192)) })

const Redeemed = v.object({
  evaluation_id: v.string(),
  redeemed_at: v.pipe(v.string(), v.isoTimestamp()),
  receipt: v.object({ seq: v.number(), hash: v.string() }),
})

/** For tools: a permit whose action must not be done twice is used up here, before the action is done. */
export const permits = new Hono<AppEnv>().post(
  '/v1/permits/redeem',
  describeRoute({
    summary: 'Use up a permit of a redeem-only action',
    requestBody: jsonBody(Redeem),
    responses: { 200: json('It was unused, and is used now', Redeemed), ...problems(400, 401, 403, 409, 413, 503) },
  }),
  authenticated(['pep']),
  async c => {
    const body = await readBody(c)
    if (isRefusal(body)) return problem(body)
    const asked = read(Redeem, body.value)
    if (isRefusal(asked)) return problem(asked)
    const { tenant } = c.var.place
    const { keys } = await publicJwks(c.env)
    const permit = await readPermit(asked.permit, keys, identifierOf(tenant, c.env))
    if (!permit) return problem(refusal(409, 'permit_refused'))
    const epoch = await epochOf(c)
    if (!epoch) return problem(refusal(503, 'bundle_stale'))
    const { evaluationId, agent } = permit
    const call = { v: 1, evaluationId, by: c.var.session.caller.name, epoch, at: c.var.now } as const
    const reply = await c.env.AGENT.getByName((await actorAt(c, agent)).name).redeem(call)
    if (reply.kind !== 'taken') return problem(REFUSALS[reply.kind])
    const { at, receipt } = reply
    return c.json({ evaluation_id: evaluationId, redeemed_at: new Date(at).toISOString(), receipt })
  },
)

const REFUSALS: Record<Exclude<RedeemReply['kind'], 'taken'>, Refusal> = {
  not_found: refusal(409, 'permit_refused'),
  suspended: refusal(409, 'suspended'),
  revoked: refusal(409, 'revoked'),
  killed: refusal(409, 'killed'),
  lapsed: refusal(409, 'permit_lapsed'),
  redeemed: refusal(409, 'permit_redeemed'),
  settled: refusal(409, 'outcome_settled'),
}

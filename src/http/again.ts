import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { openSecrets } from '../audit/privacy/seal.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import { receiptOf } from '../audit/store.ts'
import { judgeAgain } from '../decision/again.ts'
import { refusal } from '../decision/refusal.ts'
import { factsOf } from '../facts/ledger.ts'
import { authenticated, sourceIo } from './authenticated.ts'
import { json, problems } from './describe.ts'
import { problem } from './problem.ts'
import { ToldFact, toldFact } from './told-fact.ts'
import type { AppEnv } from './types.ts'

const Judgement = v.object({
  outcome: v.string(),
  reason: v.string(),
  policies: v.array(v.string()),
  missing: v.array(v.string()),
})

const Again = v.object({
  evaluation_id: v.string(),
  recorded: Judgement,
  again: Judgement,
  same: v.boolean(),
  /** It hung on more than the receipt holds: limits, the agent's standing, its other decisions. */
  hangs_on_state: v.boolean(),
  /** What it relied upon. */
  facts: v.array(
    v.object({
      name: v.string(),
      status: v.string(),
      claimed: v.optional(v.unknown()),
      entity: v.optional(v.object({ type: v.string(), id: v.string() })),
      facts: v.array(ToldFact),
    }),
  ),
})

/** The record put to the test: decisions judged again on what they were judged on. */
export const again = new Hono<AppEnv>().get(
  '/v1/decisions/:id/again',
  describeRoute({
    summary: 'Judge a recorded decision again, under its bundle and on the facts that were known then',
    responses: { 200: json('Both judgements', Again), ...problems(401, 403, 404, 409, 503) },
  }),
  authenticated(['auditor', 'admin']),
  async c => {
    const { tenant } = c.var.place
    const id = c.req.param('id')
    const receipt = await receiptOf(c.env.DB, tenant, id)
    if (!receipt) return problem(refusal(404, 'not_found'))
    const named = v.safeParse(Named, receipt.body)
    if (!named.success) return problem(refusal(409, 'not_judged'))
    const bundle = await c.var.parts.source.past(tenant, named.output.decision.bundle, sourceIo(c))
    if (!bundle) return problem(refusal(503, 'bundle_stale', { detail: 'the bundle that decided cannot be read' }))
    const vault = vaultOf(c.env, tenant, c.var.now)
    const opened = { ...receipt, secrets: await openSecrets(receipt.secrets, vault) }
    const judged = await judgeAgain(opened, bundle, ids => factsOf(c.env.DB, tenant, ids))
    if (typeof judged === 'string') return problem(refusal(409, judged))
    return c.json({
      evaluation_id: id,
      ...judged,
      facts: judged.facts.map(fact => ({ ...fact, facts: fact.facts.map(toldFact) })),
    } satisfies v.InferOutput<typeof Again>)
  },
)

const Named = v.object({ decision: v.object({ bundle: v.object({ seq: v.number(), hash: v.string() }) }) })

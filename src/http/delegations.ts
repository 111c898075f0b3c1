import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { type Delegation, delegationOf, livingDelegations } from '../delegation/store.ts'
import { takeAway } from '../delegation/take-away.ts'
import { delegationKey } from '../identity/lineage.ts'
import { Why } from './agents.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Revoked = v.object({
  id: v.string(),
  /** No decision that allows by it has a later time. */
  confirmed_at: v.pipe(v.string(), v.isoTimestamp()),
  /** How many agents held something of it, and were told. */
  told: v.number(),
})

/** Who handed what on to whom, as far as it lives. */
export const delegations = new Hono<AppEnv>()
  .get(
    '/v1/delegations',
    describeRoute({
      summary: 'The living delegations, each below the one that it comes from; at most 1,000',
      responses: { 200: json('The trees', v.object({ delegations: v.array(v.unknown()) })), ...problems(401, 403) },
    }),
    authenticated(['admin', 'auditor']),
    async c => {
      const living = await livingDelegations(c.env.DB, c.var.place.tenant, c.var.now)
      return c.json({ delegations: treeOf(living) })
    },
  )
  .post(
    '/v1/delegations/:id/revoke',
    describeRoute({
      summary: 'Take a delegation away, with all that comes from it',
      requestBody: jsonBody(Why),
      responses: { 200: json('It is gone', Revoked), ...problems(400, 401, 403, 404, 413) },
    }),
    authenticated(['admin']),
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const why = read(Why, body.value)
      if (isRefusal(why)) return problem(why)
      const { tenant } = c.var.place
      const id = c.req.param('id')
      if (!(await delegationOf(c.env.DB, tenant, id))) return problem(refusal(404, 'not_found'))
      const { confirmedAt, told } = await takeAway(
        { tenant, key: delegationKey(id), by: c.var.session.caller.name, reason: why.reason, now: c.var.now },
        { db: c.env.DB, agents: c.env.AGENT },
      )
      return c.json({ id, confirmed_at: new Date(confirmedAt).toISOString(), told } satisfies v.InferOutput<
        typeof Revoked
      >)
    },
  )

type Branch = Record<string, unknown> & { delegations: Branch[] }

const treeOf = (living: readonly Delegation[]): Branch[] => {
  const branches = new Map(living.map(delegation => [delegation.id, branchOf(delegation)]))
  const roots: Branch[] = []
  for (const { id, parent } of living) {
    const branch = branches.get(id)
    if (branch) (branches.get(parent ?? '')?.delegations ?? roots).push(branch)
  }
  return roots
}

const branchOf = ({ id, parent, agent, user, grants, issuedAt, expiresAt }: Delegation): Branch => ({
  id,
  ...(parent !== null && { parent }),
  agent,
  ...(user !== null && { user }),
  authorization_details: JSON.parse(grants),
  issued_at: new Date(issuedAt).toISOString(),
  expires_at: new Date(expiresAt).toISOString(),
  delegations: [],
})

import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { vaultOf } from '../audit/privacy/vault.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { noteTaking } from '../delegation/noted.ts'
import { type Delegation, delegationOf, livingDelegations, userOf } from '../delegation/store.ts'
import { takeAway } from '../delegation/take-away.ts'
import { delegationKey } from '../identity/lineage.ts'
import { Why } from './agents.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { problem } from './problem.ts'
import { takingIo } from './taking.ts'
import type { AppEnv } from './types.ts'

const Changed = v.object({
  id: v.string(),
  /** No decision that allows by it has a later time. */
  confirmed_at: v.pipe(v.string(), v.isoTimestamp()),
  /** How many agents held something of it, and were told. */
  told: v.number(),
  /** Where it was to be given back: whether it had been taken itself. */
  changed: v.boolean(),
})

const described = (summary: string) =>
  describeRoute({
    summary,
    requestBody: jsonBody(Why),
    responses: { 200: json('It is done', Changed), ...problems(400, 401, 403, 404, 413) },
  })
const admin = authenticated(['admin'])

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
      const vault = vaultOf(c.env, c.var.place.tenant, c.var.now)
      const shown = await Promise.all(living.map(async one => ({ ...one, user: await userOf(one, vault) })))
      return c.json({ delegations: treeOf(shown) })
    },
  )
  .post('/v1/delegations/:id/revoke', described('Take a delegation away, with all that comes from it'), admin, c =>
    change(c, false),
  )
  .post('/v1/delegations/:id/restore', described('Give a delegation back that was taken away itself'), admin, c =>
    change(c, true),
  )

const change = async (c: Context<AppEnv>, lifted: boolean): Promise<Response> => {
  const body = await readBody(c)
  if (isRefusal(body)) return problem(body)
  const why = read(Why, body.value)
  if (isRefusal(why)) return problem(why)
  const { tenant } = c.var.place
  const id = c.req.param('id') ?? ''
  const delegation = await delegationOf(c.env.DB, tenant, id)
  if (!delegation) return problem(refusal(404, 'not_found'))
  const { reason } = why
  const by = c.var.session.caller.name
  const io = takingIo(c, c.var.session.bundle)
  const taken = await takeAway({ tenant, key: delegationKey(id), by, reason, lifted, now: c.var.now }, io)
  const { confirmedAt, told, changed } = taken
  if (changed) {
    const kind = lifted ? 'restoration' : 'revocation'
    const of = { agent: delegation.agent, object: delegation.holder }
    await noteTaking({ tenant, kind, of, by, reason, about: { delegation: id }, taken }, io)
  }
  return c.json({ id, confirmed_at: new Date(confirmedAt).toISOString(), told, changed } satisfies v.InferOutput<
    typeof Changed
  >)
}

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

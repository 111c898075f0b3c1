import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import type { Epoch } from '../agent/calls/kills.ts'
import { reasons } from '../decision/reasons.ts'
import { isRefusal, type Refusal } from '../decision/refusal.ts'
import { targetName, targetsOfAuthority } from '../decision/targets.ts'
import type { GrantItem } from '../identity/grant.ts'
import { roles } from '../policy/roles.ts'
import { whoami as ask, type Told } from '../scope/whoami.ts'
import { answerersOf, askedOf, epochOf } from './asked.ts'
import { authenticated, isAgent } from './authenticated.ts'
import { json, problems } from './describe.ts'
import { problem } from './problem.ts'
import type { AppEnv } from './types.ts'

const Uid = v.object({ type: v.string(), id: v.string() })

const Whoami = v.object({
  /** Unique in the tenant: what idempotency keys and records name the caller by. */
  name: v.string(),
  issuer: v.string(),
  roles: v.array(v.picklist(roles)),
  agent: v.optional(Uid),
  /** Who delegated to it, nearest first. */
  chain: v.optional(v.array(Uid)),
  user: v.optional(Uid),
  groups: v.optional(v.array(Uid)),
  session: v.optional(v.string()),
  /** The key that the token is bound to (RFC 7638). */
  bound_to: v.optional(v.string()),
  /** The delegation that it stands for, and those that it comes from, nearest first. */
  delegations: v.optional(v.array(v.string())),
  expires_at: v.pipe(v.string(), v.isoTimestamp()),
  /** What it comes from was suspended or revoked. */
  revoked: v.boolean(),
  /** Whether a kill switch stops it, or whom it acts for; absent while that can't be told. */
  killed: v.optional(v.boolean()),
  /** Of agents: whether the question is on record, and why they would be allowed nothing now. */
  recorded: v.optional(v.boolean()),
  reason: v.optional(v.picklist(Object.keys(reasons))),
  /** The grants that must permit, with what is left of those that count. */
  authorization_details: v.optional(v.array(v.unknown())),
})

/** What a token is, whom it acts for, and what is left of its grants. An agent's question is on record as any other. */
export const whoami = new Hono<AppEnv>().get(
  '/v1/whoami',
  describeRoute({
    summary: 'What this token is, whom it acts for, what is left of its grants',
    responses: { 200: json('The caller', Whoami), ...problems(401, 403, 429) },
  }),
  authenticated(roles, undefined, { settles: true }),
  async c => {
    const epoch = await epochOf(c)
    const told = await toldOf(c, epoch)
    if (told && isRefusal(told)) return problem(told)
    const { claims, taken, bundle } = c.var.session
    const caller = told?.caller ?? c.var.session.caller
    const { principals, grants, delegations } = caller
    const stops = principals ? targetsOfAuthority({ ...caller, principals }, bundle) : [targetName({ kind: 'tenant' })]
    const left = told?.left
    const shown = (id: string, item: GrantItem) => ({
      ...item,
      grant: id,
      ...(left?.grant === id && { left: { uses: left.uses ?? undefined, budget: left.amount ?? undefined } }),
    })
    return c.json({
      name: caller.name,
      issuer: caller.issuer,
      roles: [...caller.roles],
      ...(principals && { agent: principals.actor }),
      ...(principals && principals.chain.length > 0 && { chain: principals.chain }),
      ...(principals?.user && { user: principals.user }),
      ...(caller.groups.length > 0 && { groups: [...caller.groups] }),
      ...(caller.session !== undefined && { session: caller.session }),
      ...(caller.jkt !== undefined && { bound_to: caller.jkt }),
      ...(delegations && { delegations: [...delegations] }),
      expires_at: new Date(claims.exp * 1000).toISOString(),
      revoked: taken === 'yes' || told?.reason === 'revoked',
      ...(epoch && { killed: told?.reason === 'killed' || epoch.targets.some(target => stops.includes(target)) }),
      ...(told && { recorded: told.recorded }),
      ...(told?.reason !== undefined && { reason: told.reason }),
      ...(grants && { authorization_details: grants.flatMap(({ id, items }) => items.map(item => shown(id, item))) }),
    } satisfies v.InferOutput<typeof Whoami>)
  },
)

/** What the agent's own object says of it. Whoever isn't an agent has none. */
const toldOf = async (c: Context<AppEnv>, epoch: Epoch | undefined): Promise<Told | Refusal | undefined> => {
  const { caller } = c.var.session
  if (!isAgent(caller)) return undefined
  // The token is genuine, and maps to nobody: it is recorded under a name that no entity has.
  const principals = caller.principals ?? { actor: { type: 'Nobody', id: caller.name }, chain: [] }
  if (!epoch) return { caller, recorded: false, reason: 'bundle_stale' }
  return ask(principals, askedOf(c, epoch), answerersOf(c))
}

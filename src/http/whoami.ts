import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { agentName } from '../decision/prepare.ts'
import { roles } from '../identity/caller.ts'
import { type GrantItem, isCounted } from '../identity/grant.ts'
import { authenticated } from './authenticated.ts'
import { json, problems } from './describe.ts'
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
  /** The grants that must permit, with what is left of those that count. */
  authorization_details: v.optional(v.array(v.unknown())),
})

/** What a token is, whom it acts for, and what is left of its grants. */
export const whoami = new Hono<AppEnv>().get(
  '/v1/whoami',
  describeRoute({
    summary: 'What this token is, whom it acts for, what is left of its grants',
    responses: { 200: json('The caller', Whoami), ...problems(401, 403) },
  }),
  authenticated(roles),
  async c => {
    const { caller, claims, taken } = c.var.session
    const { principals, grants, delegations } = caller
    const counted = grants?.find(({ items }) => items.some(isCounted))
    const left =
      counted && principals
        ? await c.env.AGENT.getByName(agentName(c.var.place.tenant, principals.actor)).left({ purse: counted.id })
        : undefined
    const shown = (id: string, item: GrantItem) => ({
      ...item,
      grant: id,
      ...(id === counted?.id && { left: { uses: left?.uses ?? undefined, budget: left?.amount ?? undefined } }),
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
      revoked: taken === 'yes',
      ...(grants && { authorization_details: grants.flatMap(({ id, items }) => items.map(item => shown(id, item))) }),
    } satisfies v.InferOutput<typeof Whoami>)
  },
)

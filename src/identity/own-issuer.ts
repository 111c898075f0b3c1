import * as v from 'valibot'
import { type Issuer, TypeName } from '../policy/tenant.ts'
import type { Caller } from './caller.ts'
import { type Claims, Name } from './claims.ts'
import { publicJwks, type SigningEnv } from './keys.ts'
import { lineageOf } from './lineage.ts'
import { uidText } from './uid.ts'

/** The id under which the Worker's own tokens are recorded; no entry of a bundle may have it. */
export const OWN_ISSUER = 'countersign'

/** The Worker as an issuer of one tenant: what it minted by token exchange it takes, bound to a key and typed `at+jwt`. */
export const ownIssuer = async (env: SigningEnv, identifier: string): Promise<Issuer> => {
  const known = issuers.get(identifier)
  if (known?.secret === env.SIGNING_KEYS) return known.issuer
  const { keys } = await publicJwks(env)
  const issuer: Issuer = {
    id: OWN_ISSUER,
    iss: identifier,
    algorithms: ['EdDSA', 'ES256'],
    jwks: { keys: keys.map(key => ({ ...key })) },
    roles: { allowed: ['agent'], claim: 'roles', default: ['agent'] },
    skew: 30,
    max_age: 86_400,
    dpop: 'required',
  }
  own.add(issuer)
  if (issuers.size >= MAX_TENANTS) issuers.clear()
  issuers.set(identifier, { secret: env.SIGNING_KEYS, issuer })
  return issuer
}

/** Kept so that keys are imported once in an isolate. */
const issuers = new Map<string, { secret: string; issuer: Issuer }>()
const MAX_TENANTS = 1_000
const own = new WeakSet<Issuer>()

export const isOwn = (issuer: Issuer): boolean => own.has(issuer)

const Uid = v.object({ type: TypeName, id: Name })

/** What a token of ours says of who acts. It names entities outright: they were mapped when it was minted. */
export const DelegatedClaims = v.object({
  jti: v.string(),
  agent: Uid,
  /** Who delegated to it, nearest first. */
  chain: v.array(Uid),
  user: v.optional(Uid),
  /** This delegation and those that it comes from, nearest first. */
  delegations: v.pipe(v.array(v.string()), v.minLength(1)),
  /** Seconds: when the first token of the line was issued. */
  since: v.number(),
  /** Whether a mapping rule admitted the agents, or the user, so that the bundle needn't list them. */
  admitted: v.object({ agents: v.boolean(), user: v.boolean() }),
  sid: v.optional(Name),
  /** Sessions that `sid` comes from, where a delegation began it. */
  within: v.optional(v.array(Name)),
})
export type DelegatedClaims = v.InferOutput<typeof DelegatedClaims>

export const ownCaller = (claims: Claims): Caller | 'malformed_claims' => {
  const parsed = v.safeParse(DelegatedClaims, claims)
  if (!parsed.success) return 'malformed_claims'
  const { agent, chain, user, delegations, since, admitted, sid, within } = parsed.output
  const principals = { actor: agent, chain, ...(user && { user }) }
  return {
    name: `${OWN_ISSUER}:${[agent, ...chain, ...(user ? [user] : [])].map(uid => encodeURIComponent(uidText(uid))).join('/')}`,
    issuer: OWN_ISSUER,
    roles: ['agent'],
    principals,
    admitted: admitted.agents,
    userAdmitted: admitted.user,
    groups: [],
    delegations,
    lineage: lineageOf(principals, delegations, since * 1000),
    ...(sid !== undefined && { session: sid }),
    ...(within && { within }),
  }
}

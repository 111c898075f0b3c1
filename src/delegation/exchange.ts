import { base64url } from 'jose'
import { uuidv7 } from 'uuidv7'
import type { DelegateReply, ProofClaim } from '../agent/call.ts'
import type { AgentObject } from '../agent/object.ts'
import { sealSecrets } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { type Body, commitment, type Secret } from '../audit/receipt.ts'
import type { EntityUid } from '../cedar/json.ts'
import { entityRef } from '../cedar/value.ts'
import { agentName } from '../decision/prepare.ts'
import { withDeadline } from '../durable/deadline.ts'
import { sha256 } from '../durable/hash.ts'
import type { PrincipalChain } from '../identity/caller.ts'
import type { Grant, GrantItem } from '../identity/grant.ts'
import type { Signer } from '../identity/keys.ts'
import { lineageOf } from '../identity/lineage.ts'
import { MAX_ACTORS } from '../identity/mapping.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { mint, tooLarge } from './mint.ts'
import { type Narrowed, narrow } from './narrow.ts'
import type { Parties } from './parties.ts'
import { isOAuthRefusal, type OAuthRefusal, oauthRefusal } from './refusal.ts'
import type { ExchangeRequest } from './request.ts'
import { takenNow } from './revocations.ts'
import { deleteDelegation, insertDelegation } from './store.ts'

export type Exchanged = {
  token: string
  id: string
  /** Seconds. */
  expiresIn: number
  grants: GrantItem[]
}

export type ExchangeDeps = {
  tenant: string
  identifier: string
  bundle: LoadedBundle
  db: D1Database
  agents: DurableObjectNamespace<AgentObject>
  signer: Signer
  /** Keys for what the tenant marks as personal in receipts. */
  vault: Vault
  now: number
  waitUntil: (work: Promise<unknown>) => void
}

/** The most that a delegation lives, in seconds. */
const MAX_LIFE = 3_600
const DEADLINE_MS = 5_000

/**
 * Hands authority on (RFC 8693): never more than is there, on record before it is used, and what is countable moved
 * before any token speaks of it. `jkt` is the key of the new token, `proofs` what must not be used twice.
 */
export const exchange = async (
  request: ExchangeRequest,
  parties: Parties,
  { jkt, proofs }: { jkt: string; proofs: ProofClaim[] },
  deps: ExchangeDeps,
): Promise<Exchanged | OAuthRefusal> => {
  const { bundle, now } = deps
  const { delegator } = parties
  const principals = principalsOf(request, parties, bundle)
  if (isOAuthRefusal(principals)) return principals
  const id = uuidv7()
  const narrowed = narrow(delegator.grants ?? [], request.items, id, bundle.schema)
  if (isOAuthRefusal(narrowed)) return narrowed

  const from = lineageOf(delegator.principals, delegator.delegations ?? [], parties.since * 1000)
  const lineage = lineageOf(principals, [id, ...(delegator.delegations ?? [])], parties.since * 1000)
  const issuedAt = Math.floor(now / 1000)
  const expires = Math.floor(Math.min(parties.expires, issuedAt + Math.min(request.expiresIn ?? MAX_LIFE, MAX_LIFE)))
  const grants = flat(narrowed.grants)
  const token = mint({
    identifier: deps.identifier,
    id,
    principals,
    delegations: [id, ...(delegator.delegations ?? [])],
    admitted: { agents: delegator.admitted, user: parties.user?.admitted ?? delegator.userAdmitted },
    since: Math.floor(parties.since),
    issuedAt,
    expires,
    jkt,
    grants,
    ...(delegator.session !== undefined && { session: delegator.session }),
  })
  if (tooLarge(token))
    return oauthRefusal('invalid_authorization_details', 'grant_widens', 'the token would be too large')

  const moved = await move({ id, principals, narrowed, lineage, from, jkt, proofs, expires, grants }, parties, deps)
  if (moved) return moved
  return { token: await token.sign(deps.signer), id, expiresIn: expires - issuedAt, grants }
}

/** Who will act: the agent that is named, on top of those who delegate to it. */
const principalsOf = (
  { agent }: ExchangeRequest,
  { delegator, user: given }: Parties,
  { schema, entities }: LoadedBundle,
): PrincipalChain | OAuthRefusal => {
  const { actor, chain, user = given?.uid } = delegator.principals
  const child = agent ?? actor
  const same = child.type === actor.type && child.id === actor.id
  const listed = schema.entityTypes.has(child.type) && entities.get(entityRef(child.type, child.id).key) !== undefined
  if (!same && (given || !listed)) return oauthRefusal('invalid_target', 'unknown_agent', 'agent')
  if (!same && chain.length + 2 > MAX_ACTORS) return oauthRefusal('invalid_target', 'chain_too_long')
  return { actor: child, chain: same ? chain : [actor, ...chain], ...(user && { user }) }
}

type Move = {
  id: string
  principals: PrincipalChain
  narrowed: Narrowed
  lineage: { keys: string[] }
  from: { keys: string[]; since: number }
  jkt: string
  proofs: ProofClaim[]
  /** Seconds. */
  expires: number
  grants: GrantItem[]
}

/**
 * D1 first, so that whoever takes something away finds this delegation; then the delegator's object; then the child's.
 * Where it ends half-way no token exists, and what left the delegator's purse comes back when the slice lapses.
 */
const move = async (moving: Move, parties: Parties, deps: ExchangeDeps): Promise<OAuthRefusal | undefined> => {
  const { id, principals, narrowed, lineage, from, jkt, proofs, expires, grants } = moving
  const { delegator } = parties
  const { tenant, bundle, now, db, agents } = deps
  const holder = agentName(tenant, principals.actor)
  const until = expires * 1000
  try {
    await insertDelegation(db, {
      tenant,
      id,
      parent: delegator.delegations?.[0] ?? null,
      agent: uidText(principals.actor),
      user: principals.user ? uidText(principals.user) : null,
      holder,
      lineage: JSON.stringify(lineage.keys),
      grants: JSON.stringify(grants),
      jkt,
      issuedAt: now,
      expiresAt: until,
    })
    // Read after this delegation stands there: whoever takes something away sees it, or is seen here.
    const standing = await takenNow(
      { keys: [...new Set([...from.keys, ...lineage.keys])], since: from.since },
      db,
      tenant,
    )
    if (standing) {
      deps.waitUntil(deleteDelegation(db, tenant, id))
      return oauthRefusal('invalid_grant', 'revoked')
    }
    const { actor } = delegator.principals
    const { body, secrets } = recordOf(moving, parties)
    const reply = await withDeadline<DelegateReply>(
      agents.getByName(agentName(tenant, actor)).delegate({
        v: 1,
        tenant,
        agent: uidText(actor),
        id,
        now,
        attempts: bundle.attempts,
        proofs,
        lineage: from,
        ...(narrowed.slice && { slice: { ...narrowed.slice, holder, until } }),
        body,
        secrets: await sealSecrets(secrets, subjectsOf(principals), bundle.settings.privacy, deps.vault),
      }),
      DEADLINE_MS,
    )
    if (reply.kind === 'refused') {
      deps.waitUntil(deleteDelegation(db, tenant, id))
      if (reply.reason === 'too_many_attempts')
        return oauthRefusal('slow_down', reply.reason, undefined, reply.retryAfter)
      return oauthRefusal(reply.reason === 'invalid_dpop_proof' ? 'invalid_dpop_proof' : 'invalid_grant', reply.reason)
    }
    if (narrowed.purse) await withDeadline(agents.getByName(holder).fund({ id, ...narrowed.purse, until }), DEADLINE_MS)
    return undefined
  } catch (error) {
    console.warn('a delegation could not be moved:', error)
    return oauthRefusal('temporarily_unavailable', 'control_unreachable', undefined, 1)
  }
}

/** A delegation is about no resource; what an agent hands on may be about itself. */
const subjectsOf = ({ actor, user }: PrincipalChain) => ({ resource: actor, ...(user && { user }) })

const recordOf = (
  { id, principals, jkt, expires, grants }: Move,
  { delegator }: Parties,
): { body: Body; secrets: Record<string, Secret> } => {
  const { actor, chain, user } = principals
  const secrets = {
    caller: salted(delegator.name),
    grants: salted(grants),
    ...(user && { user: salted(bare(user)) }),
  }
  const committed = Object.entries(secrets).map(([name, secret]) => [name, commitment(secret)])
  return {
    body: {
      agent: bare(delegator.principals.actor),
      delegation: { id, to: bare(actor), chain: chain.map(bare), key: sha256(jkt), expires_at: expires },
      ...Object.fromEntries(committed),
    },
    secrets,
  }
}

const salted = (value: unknown): Secret => ({
  salt: base64url.encode(crypto.getRandomValues(new Uint8Array(16))),
  value: JSON.parse(JSON.stringify(value)),
})

const bare = ({ type, id }: EntityUid): EntityUid => ({ type, id })

const flat = (grants: readonly Grant[]): GrantItem[] =>
  grants.flatMap(({ id, items }) => items.map(item => ({ ...item, grant: id })))

import { uuidv7 } from 'uuidv7'
import type { DelegateCall, DelegateReply } from '../agent/calls/delegate.ts'
import { sealSecrets } from '../audit/privacy/seal.ts'
import { isSealed } from '../audit/receipt.ts'
import { entityRef } from '../cedar/value.ts'
import { actorOf } from '../decision/actor.ts'
import { targetsOfAuthority } from '../decision/targets.ts'
import { withDeadline } from '../durable/deadline.ts'
import type { Grant, GrantItem } from '../identity/grant.ts'
import { entityKey, type Lineage, lineageOf } from '../identity/lineage.ts'
import { MAX_ACTORS } from '../identity/mapping.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { ExchangeDeps, Held } from './deps.ts'
import { mint, tooLarge } from './mint.ts'
import { storedKey, withStored } from './names.ts'
import { type Narrowed, narrow } from './narrow.ts'
import type { Parties } from './parties.ts'
import { recordOf, subjectsOf } from './record.ts'
import { isOAuthRefusal, type OAuthRefusal, oauthRefusal, refusedBy } from './refusal.ts'
import type { ExchangeRequest } from './request.ts'
import { takenNow } from './revocations.ts'
import { deleteDelegation, insertDelegation } from './store.ts'
import { widened } from './widening.ts'

export type Exchanged = {
  token: string
  id: string
  /** Seconds. */
  expiresIn: number
  grants: GrantItem[]
}

/** The most that a delegation lives, in seconds. */
const MAX_LIFE = 3_600
const DEADLINE_MS = 5_000

/**
 * Hands authority on (RFC 8693): never more than is there, on record before it is used, and what is countable moved
 * before any token speaks of it. More than is there humans must allow, where the tenant lets them be asked.
 */
export const exchange = async (
  request: ExchangeRequest,
  parties: Parties,
  held: Held,
  deps: ExchangeDeps,
): Promise<Exchanged | OAuthRefusal> => {
  const { bundle, now } = deps
  const { delegator } = parties
  const principals = principalsOf(request, parties, bundle)
  if (isOAuthRefusal(principals)) return principals
  const id = uuidv7()
  const narrowed = narrow(delegator.grants ?? [], request.items, id, bundle.schema, {
    widening: bundle.settings.exchange?.widening !== undefined,
  })
  if (isOAuthRefusal(narrowed)) return narrowed

  const from = lineageOf(delegator.principals, delegator.delegations ?? [], parties.since * 1000)
  const lineage = lineageOf(principals, [id, ...(delegator.delegations ?? [])], parties.since * 1000)
  const issuedAt = Math.floor(now / 1000)
  const expires = Math.floor(Math.min(parties.expires, issuedAt + Math.min(request.expiresIn ?? MAX_LIFE, MAX_LIFE)))
  const grants = flat(narrowed.grants)
  const session = sessionOf(id, principals, delegator)
  const token = mint({
    identifier: deps.identifier,
    id,
    principals,
    delegations: [id, ...(delegator.delegations ?? [])],
    admitted: { agents: delegator.admitted, user: parties.user?.admitted ?? delegator.userAdmitted },
    since: Math.floor(parties.since),
    issuedAt,
    expires,
    jkt: held.jkt,
    grants,
    ...session,
  })
  if (tooLarge(token))
    return oauthRefusal('invalid_authorization_details', 'grant_widens', 'the token would be too large')

  const { added } = narrowed
  const approved = added && (await widened(request, parties, { id, principals, added, from }, held, deps))
  if (approved && isOAuthRefusal(approved)) return approved
  const moving: Move = { id, principals, narrowed, lineage, from, ...held, expires, grants }
  const moved = await move({ ...moving, ...(approved && { widened: approved }) }, parties, deps)
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

/** A task of the same agent goes on in its session. Another agent gets one that comes from it, named by the delegation. */
const sessionOf = (
  id: string,
  { chain }: PrincipalChain,
  { principals, session, within }: Parties['delegator'],
): Pick<Parties['delegator'], 'session' | 'within'> => {
  const own = { ...(session !== undefined && { session }), ...(within && { within }) }
  if (chain.length === principals.chain.length) return own
  return { session: id, within: [...(session !== undefined ? [session] : []), ...(within ?? [])] }
}

type Move = Held & {
  id: string
  principals: PrincipalChain
  narrowed: Narrowed
  lineage: Lineage
  from: Lineage
  widened?: DelegateCall['widened'] & object
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
  const { tenant, bundle, now, db, agents, vault } = deps
  const { privacy } = bundle.settings
  const blinding = { privacy, vault }
  const until = expires * 1000
  try {
    const { as: child, name: holder } = await actorOf(principals.actor, tenant, blinding)
    const { body, secrets: clear } = recordOf(
      {
        id,
        principals,
        jkt,
        about: { expires_at: expires },
        secrets: { grants, ...(narrowed.added && { added: narrowed.added }) },
      },
      parties,
    )
    const secrets = await sealSecrets(clear, subjectsOf(principals), privacy, vault)
    const user = principals.user ? entityKey(principals.user) : undefined
    const named = user === undefined ? null : await storedKey(user, blinding)
    await insertDelegation(db, {
      tenant,
      id,
      parent: delegator.delegations?.[0] ?? null,
      agent: uidText(principals.actor),
      user: named,
      secrets: JSON.stringify(secrets.user && isSealed(secrets.user) ? { user: secrets.user } : {}),
      holder,
      lineage: JSON.stringify(lineage.keys.map(key => (key === user ? named : key))),
      grants: JSON.stringify(grants),
      jkt,
      issuedAt: now,
      expiresAt: until,
    })
    // Read after this delegation stands there: whoever takes something away sees it, or is seen here.
    const both = { keys: [...new Set([...from.keys, ...lineage.keys])], since: from.since }
    const standing = await takenNow(await withStored(both, blinding), db, tenant)
    if (standing) {
      deps.waitUntil(deleteDelegation(db, tenant, id))
      return oauthRefusal('invalid_grant', 'revoked')
    }
    const own = await actorOf(delegator.principals.actor, tenant, blinding)
    const inherits = bundle.remembers && principals.chain.length > delegator.principals.chain.length
    const reply = await withDeadline<DelegateReply>(
      agents.getByName(own.name).delegate({
        v: 1,
        tenant,
        agent: uidText(own.as),
        id,
        now,
        attempts: bundle.attempts,
        proofs,
        lineage: from,
        epoch: deps.epoch,
        targets: targetsOfAuthority({ ...delegator, principals }, bundle),
        ...(narrowed.slice && { slice: { ...narrowed.slice, holder, until } }),
        ...(moving.widened && { widened: moving.widened }),
        ...(inherits && {
          session: {
            id: delegator.session ?? '',
            ...(delegator.within && { linked: true }),
            to: { object: holder, agent: uidText(child), session: id },
          },
        }),
        body,
        secrets,
      }),
      DEADLINE_MS,
    )
    if (reply.kind === 'refused') {
      deps.waitUntil(deleteDelegation(db, tenant, id))
      return refusedBy(reply)
    }
    const { inheritance } = reply
    // An object of an older version doesn't know of sessions that come from others.
    if (inherits && !inheritance) throw new Error('nothing is known of the session')
    if (narrowed.purse || inheritance) {
      const purse = narrowed.purse && { ...narrowed.purse, until }
      const brought = { ...(purse && { purse }), ...(inheritance && { inheritance }) }
      await withDeadline(agents.getByName(holder).begin({ v: 1, id, at: now, ...brought }), DEADLINE_MS)
    }
    return undefined
  } catch (error) {
    console.warn('a delegation could not be moved:', error)
    return oauthRefusal('temporarily_unavailable', 'control_unreachable', undefined, 1)
  }
}

const flat = (grants: readonly Grant[]): GrantItem[] =>
  grants.flatMap(({ id, items }) => items.map(item => ({ ...item, grant: id })))

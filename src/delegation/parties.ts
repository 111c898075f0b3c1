import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import { entityRef } from '../cedar/value.ts'
import type { Caller } from '../identity/caller.ts'
import { Claims, checkTimes, meantFor } from '../identity/claims.ts'
import { DevelopmentClaims } from '../identity/development.ts'
import { own } from '../identity/jws.ts'
import { mapName } from '../identity/mapping.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { verifyToken } from '../identity/token.ts'
import { type Verification, verifyAccess } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Issuer } from '../policy/tenant.ts'
import { type OAuthRefusal, oauthRefusal } from './refusal.ts'
import type { ExchangeRequest } from './request.ts'

/** Who asks for a delegation, and for whom: all that is verified before anything is moved. */
export type Parties = {
  /** The agent whose authority is handed on. */
  delegator: Caller & { principals: PrincipalChain }
  issuer: Issuer
  /** The user, where the subject's token is a user's own. */
  user?: { uid: EntityUid; admitted: boolean }
  /** Keys that the tokens are bound to: the caller must hold each. */
  bound: string[]
  /** Seconds: when the first of the tokens expires, and the oldest was issued. */
  expires: number
  since: number
  /** An assertion that must not be used twice. */
  assertion?: { id: string; exp: number }
}

/** Reads the tokens of an exchange: a parent agent's, or a user's with that of the agent that is to act. */
export const partiesOf = async (
  request: ExchangeRequest,
  issuers: readonly Issuer[],
  verification: Verification,
  bundle: LoadedBundle,
): Promise<Parties | OAuthRefusal> => {
  if (request.subject.kind === 'access' && request.actor === undefined) {
    const parent = await agentOf(request.subject.token, issuers, verification)
    if ('error' in parent) return parent
    return known(parent, bundle)
  }
  if (request.actor === undefined)
    return oauthRefusal('invalid_request', 'malformed_request', "actor_token: a user's token goes with an agent's")
  const actor = await agentOf(request.actor, issuers, verification)
  if ('error' in actor) return actor
  if (actor.delegator.principals.user)
    return oauthRefusal('invalid_grant', 'invalid_token', 'the agent already acts for a user')
  const { token, kind } = request.subject
  const subject = await (kind === 'id-jag' ? assertedUser : userOf)(token, issuers, verification)
  if ('error' in subject) return subject
  // The assertion was given to one client: the agent that acts must be it.
  if (subject.client !== undefined && subject.client !== actor.subject) return REFUSED
  return known(
    {
      ...actor,
      user: { uid: subject.uid, admitted: subject.admitted },
      bound: [...actor.bound, ...subject.bound],
      expires: Math.min(actor.expires, subject.exp),
      since: Math.min(actor.since, subject.iat),
      ...(subject.assertion && { assertion: subject.assertion }),
      delegator: { ...actor.delegator, grants: [...(actor.delegator.grants ?? []), ...subject.grants] },
    },
    bundle,
  )
}

const REFUSED = oauthRefusal('invalid_grant', 'invalid_token')
const UNAVAILABLE = oauthRefusal('temporarily_unavailable', 'issuer_unavailable', undefined, 10)

const agentOf = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<(Parties & { subject: string }) | OAuthRefusal> => {
  const verified = await verifyAccess(token, issuers, verification)
  if (verified === 'keys_unavailable') return UNAVAILABLE
  if (typeof verified === 'string') return REFUSED
  const { caller, claims, issuer } = verified
  const { principals } = caller
  if (!principals || !caller.roles.includes('agent')) return REFUSED
  return {
    delegator: { ...caller, principals },
    issuer,
    subject: claims.sub,
    bound: caller.jkt === undefined ? [] : [caller.jkt],
    expires: claims.exp,
    since: (caller.lineage?.since ?? claims.iat * 1000) / 1000,
  }
}

type Subject = {
  uid: EntityUid
  admitted: boolean
  grants: NonNullable<Caller['grants']>
  bound: string[]
  exp: number
  iat: number
  client?: string
  assertion?: Parties['assertion']
}

/** A user's own access token: one that no agent acts by. */
const userOf = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Subject | OAuthRefusal> => {
  const verified = await verifyAccess(token, issuers, verification)
  if (verified === 'keys_unavailable') return UNAVAILABLE
  if (typeof verified === 'string' || Object.hasOwn(verified.claims, 'act')) return REFUSED
  const { caller, claims, issuer } = verified
  const uid = issuer.development ? developmentUser(claims) : issuer.user && mapName(issuer.user, claims.sub)
  if (!uid || caller.delegations) return REFUSED
  return {
    uid,
    admitted: caller.userAdmitted,
    grants: caller.grants ?? [],
    bound: caller.jkt === undefined ? [] : [caller.jkt],
    exp: claims.exp,
    iat: claims.iat,
  }
}

const developmentUser = (claims: Claims): EntityUid | undefined => {
  const parsed = v.safeParse(DevelopmentClaims, claims)
  return parsed.success && !parsed.output.agent ? parsed.output.user : undefined
}

/** Identity Assertion JWT Authorization Grant, draft-ietf-oauth-identity-assertion-authz-grant, 4. */
const Assertion = v.looseObject({
  ...Claims.entries,
  // The audience is this server, and no other beside it.
  aud: v.string(),
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  client_id: v.pipe(v.string(), v.minLength(1)),
})

const assertedUser = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Subject | OAuthRefusal> => {
  const verified = await verifyToken(token, 'id-jag', issuers, verification)
  if (verified === 'keys_unavailable') return UNAVAILABLE
  if (typeof verified === 'string') return REFUSED
  const { payload, issuer } = verified
  const claims = v.safeParse(Assertion, payload)
  if (!issuer.id_jag || !issuer.user || !claims.success) return REFUSED
  const { sub, jti, exp, iat, aud, client_id } = claims.output
  const narrower = ['scope', 'authorization_details', 'cnf', 'act'].some(name => own(payload, name) !== undefined)
  if (narrower || !meantFor({ aud }, {}, verification.tenant)) return REFUSED
  if (checkTimes({ exp, iat }, issuer, verification.now)) return REFUSED
  const uid = mapName(issuer.user, sub)
  if (!uid) return REFUSED
  return {
    uid,
    admitted: issuer.user.admit === 'all',
    grants: [],
    bound: [],
    exp,
    iat,
    client: client_id,
    assertion: { id: JSON.stringify([issuer.iss, jti]), exp: exp + issuer.skew },
  }
}

/** As for a decision: nobody whom the bundle doesn't know gets anything, nor an object. */
const known = (parties: Parties, bundle: LoadedBundle): Parties | OAuthRefusal => {
  const { delegator, user } = parties
  const { actor, chain, user: actingFor } = delegator.principals
  const listed = ({ type, id }: EntityUid) => bundle.entities.get(entityRef(type, id).key) !== undefined
  if (!delegator.admitted && ![actor, ...chain].every(listed)) return oauthRefusal('invalid_grant', 'unknown_agent')
  const usersKnown =
    (!user || user.admitted || listed(user.uid)) && (!actingFor || delegator.userAdmitted || listed(actingFor))
  return usersKnown ? parties : oauthRefusal('invalid_grant', 'unknown_principal')
}

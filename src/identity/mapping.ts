import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import { sourceIdOf } from '../facts/source.ts'
import { roles as everyRole, type Role } from '../policy/roles.ts'
import type { Issuer, Mapping } from '../policy/tenant.ts'
import type { Caller } from './caller.ts'
import { type Claims, Name } from './claims.ts'
import { DevelopmentClaims } from './development.ts'
import { own } from './jws.ts'
import { lineageOf } from './lineage.ts'
import { isOwn, ownCaller } from './own-issuer.ts'
import type { PrincipalChain } from './principals.ts'
import { uidText } from './uid.ts'

/** How many actors a token may name: the one that acts, and those that delegated to it. */
export const MAX_ACTORS = 8

export type Unmappable =
  /** A claim that the issuer's entry reads has another shape than it says. */
  | 'malformed_claims'
  /** An actor of another issuer: its name says nothing in this issuer's namespace. */
  | 'foreign_actor'
  | 'too_many_actors'
  /** A delegating agent or the user has no entity by the issuer's rules. */
  | 'unmapped'

/** Reads the claims of a verified token as the issuer's entry says. What it doesn't name is not taken. */
export const callerOf = (claims: Claims, issuer: Issuer): Caller | Unmappable => {
  if (isOwn(issuer)) return ownCaller(claims)
  const caller = issuer.development ? developmentCaller(claims, issuer) : mappedCaller(claims, issuer)
  if (typeof caller === 'string' || !caller.principals) return caller
  return { ...caller, lineage: lineageOf(caller.principals, [], claims.iat * 1000) }
}

/** The UID that a rule gives to a name of the issuer, or undefined where the rule doesn't cover it. */
export const mapName = (rule: Mapping, name: string): EntityUid | undefined => {
  if (!rule.ids) return { type: rule.type, id: rule.prefix + name }
  const id = Object.hasOwn(rule.ids, name) ? rule.ids[name] : undefined
  return id === undefined ? undefined : { type: rule.type, id }
}

const mappedCaller = (claims: Claims, issuer: Issuer): Caller | Unmappable => {
  const actors = actorsOf(claims, issuer.iss)
  if (typeof actors === 'string') return actors
  const roles = rolesOf(claims, issuer)
  const groups = groupsOf(claims, issuer)
  const session = sessionOf(claims, issuer)
  if (!roles || !groups || session === null) return 'malformed_claims'
  const principals = roles.includes('agent') ? principalsOf(claims.sub, actors, issuer) : undefined
  if (typeof principals === 'string') return principals
  // What acts for a person isn't that person: with `act` nobody answers.
  const person = roles.includes('approver') && actors.length === 0 && issuer.approver
  const approver = person ? mapName(person, claims.sub) : undefined
  const source = roles.includes('source') ? sourceIdOf(issuer, claims.sub, undefined) : undefined
  return {
    // Without `act` the subject itself acts, with it the subject is who the last of them acts for.
    name: callerName(issuer.id, [...actors, claims.sub]),
    issuer: issuer.id,
    roles,
    ...(principals && { principals }),
    ...(approver && { approver }),
    admitted: issuer.agent?.admit === 'all',
    userAdmitted: issuer.user?.admit === 'all',
    groups,
    ...(session !== undefined && { session }),
    ...(source !== undefined && { source }),
  }
}

const developmentCaller = (claims: Claims, issuer: Issuer): Caller | Unmappable => {
  const parsed = v.safeParse(DevelopmentClaims, claims)
  if (!parsed.success) return 'malformed_claims'
  const { sub, agent, chain, user, groups, source, sid, admit } = parsed.output
  const roles = allowedRoles(parsed.output.roles, issuer)
  return {
    name: callerName(issuer.id, [
      sub,
      ...(agent ? [`agent=${uidText(agent)}`] : []),
      ...chain.map(uid => `by=${uidText(uid)}`),
      ...(user ? [`for=${uidText(user)}`] : []),
    ]),
    issuer: issuer.id,
    roles,
    ...(agent && roles.includes('agent') && { principals: { actor: agent, chain, ...(user && { user }) } }),
    ...(user && !agent && roles.includes('approver') && { approver: user }),
    admitted: admit,
    userAdmitted: admit,
    groups,
    ...(sid !== undefined && { session: sid }),
    ...(source !== undefined && roles.includes('source') && { source }),
  }
}

const Act = v.looseObject({ sub: Name, iss: v.optional(v.string()) })

/**
 * The subjects of `act` and of those nested in it: who acts first, then who delegated, nearest first (RFC 8693, 4.1).
 * `iss` may stand there to say whose name it is; other members there mean nothing.
 */
const actorsOf = (claims: Claims, iss: string): string[] | Unmappable => {
  const actors: string[] = []
  for (let act = own(claims, 'act'); act !== undefined; ) {
    const parsed = v.safeParse(Act, act)
    if (!parsed.success) return 'malformed_claims'
    if (parsed.output.iss !== undefined && parsed.output.iss !== iss) return 'foreign_actor'
    if (actors.length === MAX_ACTORS) return 'too_many_actors'
    actors.push(parsed.output.sub)
    act = own(parsed.output, 'act')
  }
  return actors
}

/** `undefined` for an actor that no rule covers: an unknown agent. Whoever it answers to must be known. */
const principalsOf = (sub: string, actors: string[], issuer: Issuer): PrincipalChain | undefined | Unmappable => {
  const [acting = sub, ...delegating] = actors
  const chain = delegating.map(name => issuer.agent && mapName(issuer.agent, name)).filter(uid => uid !== undefined)
  if (chain.length !== delegating.length) return 'unmapped'
  const user = actors.length > 0 && issuer.user ? mapName(issuer.user, sub) : undefined
  if (actors.length > 0 && !user) return 'unmapped'
  const actor = issuer.agent && mapName(issuer.agent, acting)
  return actor && { actor, chain, ...(user && { user }) }
}

const Strings = v.union([
  v.pipe(
    v.string(),
    v.transform(text => [text]),
  ),
  v.array(v.string()),
])

const rolesOf = (claims: Claims, issuer: Issuer): Role[] | undefined => {
  const claim = own(claims, issuer.roles.claim)
  if (claim === undefined) return allowedRoles(issuer.roles.default, issuer)
  const parsed = v.safeParse(Strings, claim)
  return parsed.success ? allowedRoles(parsed.output, issuer) : undefined
}

/** In the order of our own list, each once. */
const allowedRoles = (claimed: readonly string[], issuer: Issuer): Role[] =>
  everyRole.filter(role => claimed.includes(role) && issuer.roles.allowed.includes(role))

const groupsOf = (claims: Claims, issuer: Issuer): EntityUid[] | undefined => {
  const rule = issuer.groups
  const claim = rule && own(claims, rule.claim)
  if (!rule || claim === undefined) return []
  const parsed = v.safeParse(Strings, claim)
  if (!parsed.success) return undefined
  return [...new Set(rule.allowed)].filter(id => parsed.output.includes(id)).map(id => ({ type: rule.type, id }))
}

/** `null` where the claim isn't a name. */
const sessionOf = (claims: Claims, issuer: Issuer): string | undefined | null => {
  const claim = issuer.session && own(claims, issuer.session.claim)
  if (claim === undefined) return undefined
  return v.is(Name, claim) ? claim : null
}

/** Readable, and different for different parts: an issuer's id has no colon, and a slash in a part is escaped. */
const callerName = (issuer: string, parts: readonly string[]): string =>
  `${issuer}:${parts.map(part => part.replace(/[%/\p{Cc}]/gu, encodeURIComponent)).join('/')}`

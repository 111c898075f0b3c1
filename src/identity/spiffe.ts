import type { Issuer } from '../policy/tenant.ts'
import { type JsonObject, own } from './jws.ts'

/** The trust domain of a SPIFFE ID (SPIFFE-ID, 2): what `spiffe://` and the first slash enclose. */
export const trustDomainOf = (sub: unknown): string | undefined =>
  typeof sub === 'string' ? /^spiffe:\/\/([a-z0-9._-]{1,255})\//.exec(sub)?.[1] : undefined

/**
 * The claims of a JWT-SVID as those of any token, or `undefined` where its subject is no SPIFFE ID of the issuer's trust
 * domain (JWT-SVID, 3.1). It may leave out `iss` and `iat`. Without `iat` it counts as issued `max_age` before it
 * expires, so that none is valid for longer from now on.
 */
export const svidClaims = (payload: JsonObject, { iss, spiffe, max_age }: Issuer): JsonObject | undefined => {
  const [sub, exp] = [own(payload, 'sub'), own(payload, 'exp')]
  if (trustDomainOf(sub) !== spiffe?.trust_domain || !isSpiffeId(String(sub))) return undefined
  const iat = typeof exp === 'number' ? Math.max(0, exp - max_age) : undefined
  return { iss, ...(iat !== undefined && { iat }), ...payload }
}

/** Segments of letters, digits, `.`, `-` and `_`; none empty, none that a reader of paths would step over (SPIFFE-ID, 2.2). */
const isSpiffeId = (id: string): boolean => {
  const [, , , ...segments] = id.split('/')
  return id.length <= 2048 && segments.every(segment => /^[A-Za-z0-9._-]+$/.test(segment) && !/^\.{1,2}$/.test(segment))
}

import * as v from 'valibot'
import type { Issuer } from '../policy/tenant.ts'

/** The longest subject, group, session or audience that is taken, in UTF-16 units. */
const MAX_NAME = 256

/** A name that a token gives. Lone surrogates would merge names wherever they are written as UTF-8. */
export const Name = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(MAX_NAME),
  v.check(text => text.isWellFormed(), 'not well-formed Unicode'),
)

/** Seconds since the epoch, fractions allowed (RFC 7519, 2), up to the year 9999. */
const NumericDate = v.pipe(v.number(), v.minValue(0), v.maxValue(253_402_300_799))

/** The claims that every token must have or may have (RFC 7519, 4.1; `act` RFC 8693, 4.1). What else there is stays. */
export const Claims = v.looseObject({
  iss: v.string(),
  sub: Name,
  aud: v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(32))]),
  exp: NumericDate,
  iat: NumericDate,
  nbf: v.optional(NumericDate),
  jti: v.optional(v.string()),
})
export type Claims = v.InferOutput<typeof Claims>

/** Which of a token's times is against it at `now` (milliseconds), or undefined. Pure: asked again at each use. */
export const checkTimes = (
  claims: Pick<Claims, 'exp' | 'iat' | 'nbf'>,
  issuer: Pick<Issuer, 'skew' | 'max_age'>,
  now: number,
): 'expired' | 'not_yet_valid' | 'issued_in_future' | 'too_old' | undefined => {
  const seconds = now / 1000
  if (seconds >= claims.exp + issuer.skew) return 'expired'
  if (claims.nbf !== undefined && seconds < claims.nbf - issuer.skew) return 'not_yet_valid'
  if (seconds < claims.iat - issuer.skew) return 'issued_in_future'
  if (seconds > claims.iat + issuer.max_age + issuer.skew) return 'too_old'
  return undefined
}

/** Whether a token is meant for this tenant: by the tenant's identifier, or by the audiences that the issuer's entry names. */
export const meantFor = (claims: Pick<Claims, 'aud'>, issuer: Pick<Issuer, 'aud'>, tenant: string): boolean => {
  const accepted = issuer.aud ?? [tenant]
  return typeof claims.aud === 'string' ? accepted.includes(claims.aud) : claims.aud.some(aud => accepted.includes(aud))
}

import { compactVerify } from 'jose'
import type { Issuer } from '../policy/tenant.ts'
import { type JsonObject, own, readJws, readObject } from './jws.ts'
import { selectKey, verificationKeys } from './key-set.ts'
import type { Keys } from './key-sets.ts'
import { svidClaims, trustDomainOf } from './spiffe.ts'

/** What a token is judged against, whatever kind it is of. */
export type Trust = {
  /** The tenant's identifier: the audience that tokens must name, and the issuer of the Worker's own. */
  tenant: string
  /** The Worker runs locally: only then do development issuers exist. */
  local: boolean
  /** Where keys come from that don't stand in the bundle; without it there are none. */
  keysOf?: (issuer: Issuer, wanted?: { alg: string; kid: string | undefined }) => Promise<Keys>
}

/** Signed tokens that a caller may show, told apart by `typ` so that none passes for another (RFC 8725, 3.11). */
export type TokenKind = 'access' | 'id-jag' | 'security-event' | 'attestation'

/** A token whose signature is right: what it says, whose it is, and the key that vouched for it. */
export type Verified = { payload: JsonObject; issuer: Issuer; alg: string; thumbprint: string }

export type TokenObjection =
  | 'malformed'
  | 'header'
  | 'type'
  | 'unknown_issuer'
  | 'algorithm'
  | 'unknown_key'
  | 'signature'
  | 'spiffe_id'
  | 'keys_unavailable'

/** Verifies a token's signature with the keys of the issuer that it names. Says nothing about time or audience. */
export const verifyToken = async (
  token: string,
  kind: TokenKind,
  issuers: readonly Issuer[],
  trust: Trust,
): Promise<Verified | TokenObjection> => {
  const unverified = readJws(token)
  if (!unverified) return 'malformed'
  const { header } = unverified
  const issuer = issuerOf(unverified.payload, issuers, trust)
  const objection = headerObjection(header, kind, issuer, trust)
  if (objection) return objection
  if (!issuer) return 'unknown_issuer'
  const alg = issuer.algorithms.find(name => name === own(header, 'alg'))
  if (!alg) return 'algorithm'
  const kid = own(header, 'kid')
  if (kid !== undefined && typeof kid !== 'string') return 'header'
  const keys = await keysOf(issuer, trust, { alg, kid })
  if (keys === 'unavailable') return 'keys_unavailable'
  const key = selectKey(keys, alg, kid)
  if (!key) return 'unknown_key'

  const stated = await verifiedPayload(token, key.key, alg)
  if (!stated) return 'signature'
  const payload = issuer.spiffe ? svidClaims(stated, issuer) : stated
  return payload ? { payload, issuer, alg, thumbprint: key.thumbprint } : 'spiffe_id'
}

/**
 * The entry that `iss` names, or for a JWT-SVID without it the trust domain of `sub`. Before the signature is checked,
 * that is all that they are good for.
 */
export const issuerOf = (payload: JsonObject, issuers: readonly Issuer[], { local }: Trust): Issuer | undefined => {
  const iss = own(payload, 'iss')
  const domain = iss === undefined ? trustDomainOf(own(payload, 'sub')) : undefined
  return issuers.find(issuer =>
    domain === undefined
      ? issuer.iss === iss && (local || !issuer.development)
      : issuer.spiffe?.trust_domain === domain,
  )
}

export const keysOf = (
  issuer: Issuer,
  { keysOf: find }: Trust,
  wanted?: { alg: string; kid: string | undefined },
): Promise<Keys> => (find ? find(issuer, wanted) : verificationKeys(issuer))

/**
 * Header members that would let the token choose its key or change how it is read. The keys are the issuer's entry's
 * alone, and no extension is understood here, so all of them are refused outright (RFC 8725, 3.1, 3.5 and 3.10).
 */
const REFUSED = ['crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'enc', 'zip']

const TYPES: Record<TokenKind, readonly string[]> = {
  access: ['jwt', 'at+jwt'],
  'id-jag': ['oauth-id-jag+jwt'],
  'security-event': ['secevent+jwt'],
  attestation: ['facts+jwt'],
}

const headerObjection = (
  header: JsonObject,
  kind: TokenKind,
  issuer: Issuer | undefined,
  { tenant }: Trust,
): 'header' | 'type' | undefined => {
  if (REFUSED.some(member => Object.hasOwn(header, member))) return 'header'
  const typ = own(header, 'typ')
  // The Worker's own key signs permits too, so its tokens must say what they are.
  if (typ === undefined) return kind === 'access' && issuer?.iss !== tenant ? undefined : 'type'
  const types = issuer?.iss === tenant ? ['at+jwt'] : issuer?.spiffe ? [...TYPES[kind], 'jose'] : TYPES[kind]
  // RFC 7515, 4.1.9: a media type, compared without case, `application/` left out.
  return typeof typ === 'string' && types.includes(typ.toLowerCase().replace(/^application\//, '')) ? undefined : 'type'
}

/** What the signature covers, read again from the verified bytes. */
const verifiedPayload = async (token: string, key: CryptoKey, alg: string): Promise<JsonObject | undefined> => {
  try {
    const { payload } = await compactVerify(token, key, { algorithms: [alg] })
    return readObject(payload)
  } catch {
    return undefined
  }
}

import { compactVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import { sha256 } from '../durable/hash.ts'
import type { Issuer } from '../policy/tenant.ts'
import { bearer } from './bearer.ts'
import type { Caller } from './caller.ts'
import { Claims, checkTimes, meantFor } from './claims.ts'
import { type JsonObject, own, readJws, readObject } from './jws.ts'
import { selectKey, verificationKeys } from './key-set.ts'
import type { Keys } from './key-sets.ts'
import { callerOf, type Unmappable } from './mapping.ts'
import { svidClaims, trustDomainOf } from './spiffe.ts'

/** What a token is judged against. */
export type Verification = {
  /** The tenant's identifier: the audience that tokens must name. */
  tenant: string
  /** The bundle that the issuers stand in. */
  bundle: { seq: number; hash: string }
  /** Milliseconds, read once for the request. */
  now: number
  /** The Worker runs locally: only then do development issuers exist. */
  local: boolean
  /** Where keys come from that don't stand in the bundle; without it there are none. */
  keysOf?: (issuer: Issuer, wanted?: { alg: string; kid: string | undefined }) => Promise<Keys>
}

export type Authenticated = { ok: true; caller: Caller; claims: Claims }

/** `reason` is all that the caller may learn. `detail` is for metrics and tests, and is never sent. */
export type Unauthenticated =
  | { ok: false; reason: 'unauthenticated'; detail: 'no_token' }
  | { ok: false; reason: 'invalid_token'; detail: Detail }
  | { ok: false; reason: 'issuer_unavailable'; detail: 'keys_unavailable' }

export type Detail =
  | 'oversized'
  | 'malformed'
  | 'header'
  | 'type'
  | 'unknown_issuer'
  | 'algorithm'
  | 'unknown_key'
  | 'signature'
  | 'audience'
  | 'not_supported'
  | 'spiffe_id'
  | Unmappable
  | NonNullable<ReturnType<typeof checkTimes>>

/**
 * Says who is calling: verifies the one bearer token of the `Authorization` header against the issuers of one tenant
 * (RFC 7519, RFC 8725, RFC 9068). The signature is checked once for each token, bundle and key in an isolate; whether
 * the token still holds is checked each time.
 */
export const authenticate = async (
  authorization: string | undefined,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Authenticated | Unauthenticated> => {
  const credentials = bearer(authorization)
  if (credentials.kind === 'none') return { ok: false, reason: 'unauthenticated', detail: 'no_token' }
  if (credentials.kind === 'refused') return refuse(credentials.detail)
  const { token } = credentials
  const { tenant, bundle } = verification
  const id = sha256(JSON.stringify([tenant, bundle.seq, bundle.hash, token]))

  const seen = tokens.get(id)
  const signed = seen ?? (await verifySignature(token, issuers, verification))
  if (typeof signed === 'string') return refuse(signed)
  const objection = await holds(signed, issuers, verification)
  if (objection) return refuse(objection)
  if (!seen) tokens.set(id, signed, { size: token.length })
  return { ok: true, caller: signed.caller, claims: signed.claims }
}

/** A token whose signature is right: what it says, and the key that vouched for it. */
type Signed = { claims: Claims; caller: Caller; alg: string; thumbprint: string }

/** By hash, so that no token lies in memory. Bounded by count and by the tokens' length. */
const tokens = new LRUCache<string, Signed>({ max: 4096, maxSize: 4 * 1024 * 1024 })

const refuse = (detail: Detail | 'keys_unavailable'): Unauthenticated =>
  detail === 'keys_unavailable'
    ? { ok: false, reason: 'issuer_unavailable', detail }
    : { ok: false, reason: 'invalid_token', detail }

/** What can change for a token whose signature was right: its issuer, the issuer's keys, and time. */
const holds = async (
  { claims, alg, thumbprint }: Signed,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Detail | 'keys_unavailable' | undefined> => {
  const issuer = issuerOf(claims, issuers, verification)
  if (!issuer) return 'unknown_issuer'
  const keys = await keysOf(issuer, verification)
  if (keys === 'unavailable') return 'keys_unavailable'
  if (!keys.some(key => key.alg === alg && key.thumbprint === thumbprint)) return 'unknown_key'
  if (!meantFor(claims, issuer, verification.tenant)) return 'audience'
  return checkTimes(claims, issuer, verification.now)
}

/**
 * The entry that `iss` names, or for a JWT-SVID without it the trust domain of `sub`. Before the signature is checked,
 * that is all that they are good for.
 */
const issuerOf = (payload: JsonObject, issuers: readonly Issuer[], { local }: Verification): Issuer | undefined => {
  const iss = own(payload, 'iss')
  const domain = iss === undefined ? trustDomainOf(own(payload, 'sub')) : undefined
  return issuers.find(issuer =>
    domain === undefined
      ? issuer.iss === iss && (local || !issuer.development)
      : issuer.spiffe?.trust_domain === domain,
  )
}

const keysOf = (
  issuer: Issuer,
  { keysOf: find }: Verification,
  wanted?: { alg: string; kid: string | undefined },
): Promise<Keys> => (find ? find(issuer, wanted) : verificationKeys(issuer))

const verifySignature = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Signed | Detail | 'keys_unavailable'> => {
  const unverified = readJws(token)
  if (!unverified) return 'malformed'
  const { header } = unverified
  const issuer = issuerOf(unverified.payload, issuers, verification)
  const objection = headerObjection(header, issuer?.spiffe ? [...TYPES, 'jose'] : TYPES)
  if (objection) return objection
  if (!issuer) return 'unknown_issuer'
  const alg = issuer.algorithms.find(name => name === own(header, 'alg'))
  if (!alg) return 'algorithm'
  const kid = own(header, 'kid')
  if (kid !== undefined && typeof kid !== 'string') return 'header'
  const keys = await keysOf(issuer, verification, { alg, kid })
  if (keys === 'unavailable') return 'keys_unavailable'
  const key = selectKey(keys, alg, kid)
  if (!key) return 'unknown_key'

  const stated = await verifiedPayload(token, key.key, alg)
  if (!stated) return 'signature'
  const payload = issuer.spiffe ? svidClaims(stated, issuer) : stated
  if (!payload) return 'spiffe_id'
  const claims = v.safeParse(Claims, payload)
  if (!claims.success) return 'malformed_claims'
  // Proof of possession and narrower authority: to pass over them would make the token worth more than it says.
  if (['cnf', 'authorization_details'].some(name => Object.hasOwn(payload, name))) return 'not_supported'
  const caller = callerOf(claims.output, issuer)
  if (typeof caller === 'string') return caller
  return { claims: claims.output, caller, alg, thumbprint: key.thumbprint }
}

/**
 * Header members that would let the token choose its key or change how it is read. The keys are the issuer's entry's
 * alone, and no extension is understood here, so all of them are refused outright (RFC 8725, 3.1, 3.5 and 3.10).
 */
const REFUSED = ['crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'enc', 'zip']

/** The types that a caller's token may state. Permits and proofs are signed tokens too (RFC 8725, 3.11). */
const TYPES = ['jwt', 'at+jwt']

const headerObjection = (header: JsonObject, types: readonly string[]): 'header' | 'type' | undefined => {
  if (REFUSED.some(member => Object.hasOwn(header, member))) return 'header'
  const typ = own(header, 'typ')
  if (typ === undefined) return undefined
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

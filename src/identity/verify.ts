import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import { sha256 } from '../durable/hash.ts'
import type { Issuer } from '../policy/tenant.ts'
import { bearer } from './bearer.ts'
import type { Caller } from './caller.ts'
import { Claims, checkTimes, meantFor } from './claims.ts'
import { checkProof, type Proof, type ProofObjection } from './dpop.ts'
import { type Grant, readGrants } from './grant.ts'
import { type JsonObject, own } from './jws.ts'
import { callerOf, type Unmappable } from './mapping.ts'
import type { Nonces } from './nonces.ts'
import { isOwn } from './own-issuer.ts'
import { issuerOf, keysOf, type TokenObjection, type Trust, verifyToken } from './token.ts'

/** What a caller's token is judged against. */
export type Verification = Trust & {
  /** The bundle that the issuers stand in. */
  bundle: { seq: number; hash: string }
  /** Milliseconds, read once for the request. */
  now: number
  /** The call that a DPoP proof must be for; without it no token that is bound to a key is taken. */
  call?: { method: string; url: string; proof: string | undefined; nonces: Nonces }
}

export type Authenticated = {
  ok: true
  caller: Caller
  claims: Claims
  /** Of a token that is bound to a key: the proof, which must not pass a second time. */
  proof?: Proof
}

/** `reason` is all that the caller may learn. `detail` is for metrics and tests, and is never sent. */
export type Unauthenticated =
  | { ok: false; reason: 'unauthenticated'; detail: 'no_token' }
  | { ok: false; reason: 'invalid_token'; detail: Detail }
  | { ok: false; reason: 'issuer_unavailable'; detail: 'keys_unavailable' }
  | { ok: false; reason: 'invalid_dpop_proof' | 'use_dpop_nonce'; detail: ProofObjection }

export type Detail =
  | 'oversized'
  | Exclude<TokenObjection, 'keys_unavailable'>
  | 'audience'
  | 'not_supported'
  /** The token is bound to a key and came as a bearer's, or the other way round (RFC 9449, 7.1). */
  | 'scheme'
  /** The issuer's entry demands tokens that are bound to a key. */
  | 'unbound'
  | Unmappable
  | NonNullable<ReturnType<typeof checkTimes>>

/**
 * Says who is calling: verifies the one token of the `Authorization` header against the issuers of one tenant
 * (RFC 7519, RFC 8725, RFC 9068), and that the caller holds its key where it is bound to one (RFC 9449). The signature is
 * checked once for each token, bundle and key in an isolate; whether the token still holds, and the proof, each time.
 */
export const authenticate = async (
  authorization: string | undefined,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Authenticated | Unauthenticated> => {
  const credentials = bearer(authorization)
  if (credentials.kind === 'none') return { ok: false, reason: 'unauthenticated', detail: 'no_token' }
  if (credentials.kind === 'refused') return refuse(credentials.detail)
  const { token, scheme } = credentials
  const signed = await verifyAccess(token, issuers, verification)
  if (typeof signed === 'string') return refuse(signed)
  const { caller, claims, issuer } = signed
  if ((caller.jkt === undefined) !== (scheme === 'bearer')) return refuse('scheme')
  if (caller.jkt === undefined) return { ok: true, caller, claims }

  const { call, now } = verification
  if (!call) return refuse('not_supported')
  const proof = await checkProof(call.proof, {
    ...call,
    now,
    skew: issuer.skew,
    bound: { token, jkt: caller.jkt },
    isNonce: call.nonces.accepts,
    nonce: issuer.dpop === 'nonce',
  })
  if (typeof proof !== 'string') return { ok: true, caller, claims, proof }
  const wantsNonce = proof === 'nonce' || proof === 'nonce_absent'
  return { ok: false, reason: wantsNonce ? 'use_dpop_nonce' : 'invalid_dpop_proof', detail: proof }
}

/** An access token that holds now. Who shows it must still prove that it may, where `caller.jkt` says so. */
export const verifyAccess = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<(Signed & { issuer: Issuer }) | Detail | 'keys_unavailable'> => {
  const { tenant, bundle } = verification
  const id = JSON.stringify([tenant, bundle.seq, bundle.hash, sha256(token)])
  const seen = tokens.get(id)
  const signed = seen ?? (await read(token, issuers, verification))
  if (typeof signed === 'string') return signed
  const issuer = await holds(signed, issuers, verification)
  if (typeof issuer === 'string') return issuer
  if (!seen) tokens.set(id, signed, { size: token.length })
  return { ...signed, issuer }
}

/** What a token says whose signature is right, and the key that vouched for it. */
type Signed = { claims: Claims; caller: Caller; alg: string; thumbprint: string }

/** By hash, so that no token lies in memory. Bounded by count and by the tokens' length. */
const tokens = new LRUCache<string, Signed>({ max: 4096, maxSize: 4 * 1024 * 1024 })

const refuse = (detail: Detail | 'keys_unavailable'): Unauthenticated =>
  detail === 'keys_unavailable'
    ? { ok: false, reason: 'issuer_unavailable', detail }
    : { ok: false, reason: 'invalid_token', detail }

/** What can change for a token whose signature was right: its issuer, the issuer's keys, and time. */
const holds = async (
  { claims, caller, alg, thumbprint }: Signed,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Issuer | Detail | 'keys_unavailable'> => {
  const issuer = issuerOf(claims, issuers, verification)
  if (!issuer) return 'unknown_issuer'
  const keys = await keysOf(issuer, verification)
  if (keys === 'unavailable') return 'keys_unavailable'
  if (!keys.some(key => key.alg === alg && key.thumbprint === thumbprint)) return 'unknown_key'
  if (!meantFor(claims, issuer, verification.tenant)) return 'audience'
  if (issuer.dpop && caller.jkt === undefined) return 'unbound'
  return checkTimes(claims, issuer, verification.now) ?? issuer
}

const read = async (
  token: string,
  issuers: readonly Issuer[],
  verification: Verification,
): Promise<Signed | Detail | 'keys_unavailable'> => {
  const verified = await verifyToken(token, 'access', issuers, verification)
  if (typeof verified === 'string') return verified
  const { payload, issuer, alg, thumbprint } = verified
  const claims = v.safeParse(Claims, payload)
  if (!claims.success) return 'malformed_claims'
  const jkt = boundTo(payload)
  // To pass over what narrows a token would make it worth more than it says.
  const details = own(payload, 'authorization_details')
  const grants = details === undefined ? [] : readGrants(details, { counted: isOwn(issuer) })
  if (jkt === null || !grants) return 'not_supported'
  const mapped = callerOf(claims.output, issuer)
  if (typeof mapped === 'string') return mapped
  const caller = { ...narrowed(mapped, grants), ...(jkt !== undefined && { jkt }) }
  return { claims: claims.output, caller, alg, thumbprint }
}

/** Grants are about actions: a token that carries any is none to administer with. */
const narrowed = (caller: Caller, grants: Grant[]): Caller =>
  grants.length === 0
    ? caller
    : { ...caller, grants, roles: caller.roles.filter(role => role === 'agent' || role === 'pep') }

/** The thumbprint of the key that a token is bound to. `null` where it is bound in a way that isn't understood here. */
const boundTo = (payload: JsonObject): string | undefined | null => {
  const cnf = own(payload, 'cnf')
  if (cnf === undefined) return undefined
  const bound = v.safeParse(Confirmation, cnf)
  return bound.success ? bound.output.jkt : null
}

/** RFC 9449, 6.1. A second member would bind the token to something else as well, which nobody would check. */
const Confirmation = v.strictObject({ jkt: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)) })

import { calculateJwkThumbprint, compactVerify, importJWK } from 'jose'
import * as v from 'valibot'
import { sha256 } from '../durable/hash.ts'
import { type JsonObject, own, readJws } from './jws.ts'

/** A proof that holds: what must not pass a second time. */
export type Proof = { jkt: string; jti: string /** Seconds. */; iat: number }

/** What a proof is compared with. */
export type ProofExpectation = {
  method: string
  /** The public URL of the call: its origin is the configured one, whatever host the request came by. */
  url: string
  /** Milliseconds. */
  now: number
  /** Seconds of clock difference to bear. */
  skew: number
  /** The access token that comes with it, and the key that this is bound to (`cnf.jkt`). Absent at the token endpoint. */
  bound?: { token: string; jkt: string }
  /** Whether a nonce is one of ours, and still good. */
  isNonce: (nonce: string) => boolean
  /** The proof must have a nonce. */
  nonce: boolean
}

export type ProofObjection =
  | 'absent'
  | 'oversized'
  | 'malformed'
  | 'type'
  | 'header'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'claims'
  | 'method'
  | 'uri'
  | 'age'
  | 'token'
  | 'wrong_key'
  | 'nonce_absent'
  | 'nonce'

/** Seconds that a proof is good for. */
export const PROOF_AGE = 60

export const proofAlgorithms = ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as const

/** Checks a DPoP proof (RFC 9449, 4.3), all but that it wasn't used before. */
export const checkProof = async (
  header: string | undefined,
  expected: ProofExpectation,
): Promise<Proof | ProofObjection> => {
  if (header === undefined) return 'absent'
  if (header.length > MAX_PROOF) return 'oversized'
  // Two headers arrive joined by a comma, which no compact JWS has.
  const unverified = COMPACT.test(header) ? readJws(header) : undefined
  if (!unverified) return 'malformed'
  const verified = await verifyProof(header, unverified.header)
  if (typeof verified === 'string') return verified
  const claims = v.safeParse(ProofClaims, unverified.payload)
  if (!claims.success) return 'claims'
  const objection = objectionTo(claims.output, verified.jkt, expected)
  return objection ?? { jkt: verified.jkt, jti: claims.output.jti, iat: claims.output.iat }
}

const MAX_PROOF = 4 * 1024
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

const ProofClaims = v.looseObject({
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  htm: v.string(),
  htu: v.string(),
  iat: v.pipe(v.number(), v.minValue(0)),
  ath: v.optional(v.string()),
  nonce: v.optional(v.string()),
})

/** The thumbprint of the key in the header, if it signed. */
const verifyProof = async (proof: string, header: JsonObject): Promise<{ jkt: string } | ProofObjection> => {
  // A proof says what it is: another signed token that an attacker got hold of must not pass for one (RFC 9449, 11.5).
  if (own(header, 'typ') !== 'dpop+jwt') return 'type'
  if (['crit', 'b64', 'jku', 'x5u', 'x5c'].some(member => Object.hasOwn(header, member))) return 'header'
  const alg = proofAlgorithms.find(name => name === own(header, 'alg'))
  if (!alg) return 'algorithm'
  const jwk = v.safeParse(ProofKey, own(header, 'jwk'))
  if (!jwk.success) return 'key'
  try {
    const key = await importJWK(jwk.output, alg)
    if (!(key instanceof CryptoKey)) return 'key'
    await compactVerify(proof, key, { algorithms: [alg] })
    return { jkt: await calculateJwkThumbprint(jwk.output) }
  } catch {
    return 'signature'
  }
}

const Text = v.pipe(v.string(), v.regex(/^[\w-]+$/))
const isPublic = v.check(
  (jwk: Record<string, unknown>) =>
    !['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].some(name => Object.hasOwn(jwk, name)),
)
/** Public keys alone: what these objects hold is all that is imported. */
const ProofKey = v.pipe(
  v.record(v.string(), v.unknown()),
  isPublic,
  v.variant('kty', [
    v.object({ kty: v.literal('OKP'), crv: v.literal('Ed25519'), x: Text }),
    v.object({ kty: v.literal('EC'), crv: v.literal('P-256'), x: Text, y: Text }),
    // 2048 bits at least, and no more than 8192: base64url, without leading zeros.
    v.object({ kty: v.literal('RSA'), n: v.pipe(Text, v.minLength(342), v.maxLength(1366)), e: Text }),
  ]),
)

const objectionTo = (
  claims: v.InferOutput<typeof ProofClaims>,
  jkt: string,
  { method, url, now, skew, bound, isNonce, nonce }: ProofExpectation,
): ProofObjection | undefined => {
  if (claims.htm !== method) return 'method'
  if (placeOf(claims.htu) !== placeOf(url)) return 'uri'
  const age = now / 1000 - claims.iat
  if (age > PROOF_AGE + skew || age < -skew) return 'age'
  if (bound && claims.ath !== sha256(bound.token)) return 'token'
  if (bound && bound.jkt !== jkt) return 'wrong_key'
  if (claims.nonce === undefined) return nonce ? 'nonce_absent' : undefined
  return isNonce(claims.nonce) ? undefined : 'nonce'
}

/** Without query and fragment, written as URLs are written (RFC 9449, 4.3: syntax- and scheme-based normalization). */
const placeOf = (text: string): string | undefined => {
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.username === '' && url.password === '' ? url.origin + url.pathname : undefined
}

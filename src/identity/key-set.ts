import { calculateJwkThumbprint, importJWK } from 'jose'
import * as v from 'valibot'
import type { algorithms, Issuer } from '../policy/tenant.ts'

type Algorithm = (typeof algorithms)[number]

/** A public key, ready for one algorithm. */
export type VerificationKey = {
  alg: Algorithm
  kid?: string
  /** RFC 7638. */
  thumbprint: string
  key: CryptoKey
}

/** A SPIFFE bundle marks its keys: those that aren't for JWT-SVIDs must not be used (SPIFFE Trust Domain and Bundle, 4.2.2). */
type KeyUse = 'sig' | 'jwt-svid'

export const useOf = (issuer: Issuer): KeyUse => (issuer.spiffe ? 'jwt-svid' : 'sig')

/** Why a key of a set can't be used. `index` counts in `keys`. */
export type KeyProblem = { index: number; problem: string }

/** The usable keys that stand in an issuer's entry. Keys are imported once for each bundle that an isolate has. */
export const verificationKeys = async (issuer: Issuer): Promise<readonly VerificationKey[]> => {
  const known = loaded.get(issuer)
  if (known) return known
  const { keys } = await loadKeys(issuer.jwks?.keys ?? [], issuer.algorithms, useOf(issuer))
  loaded.set(issuer, keys)
  return keys
}

/**
 * Reads a key set for the algorithms that an issuer may use. A key that is malformed, weak, private or fit for none of
 * the algorithms is left out and reported; the others stand. The check of a bundle treats every problem as an error.
 */
export const loadKeys = async (
  jwks: readonly Record<string, unknown>[],
  allowed: readonly Algorithm[],
  use: KeyUse = 'sig',
): Promise<{ keys: VerificationKey[]; problems: KeyProblem[] }> => {
  const keys: VerificationKey[] = []
  const problems: KeyProblem[] = []
  for (const [index, jwk] of jwks.entries()) {
    const read = await readKey(jwk, allowed, use)
    if (typeof read === 'string') problems.push({ index, problem: read })
    else {
      if (read.some(key => keys.some(other => key.alg === other.alg && key.kid === other.kid)))
        problems.push({ index, problem: 'a key before it has the same kid, or neither has one: no token could choose' })
      keys.push(...read)
    }
  }
  return { keys, problems }
}

/** The one key that a header may mean. None, and more than one, is no key (RFC 7515, 6: `kid` is a hint, not proof). */
export const selectKey = (
  keys: readonly VerificationKey[],
  alg: string,
  kid: string | undefined,
): VerificationKey | undefined => {
  const candidates = keys.filter(key => key.alg === alg && (kid === undefined || key.kid === kid))
  return candidates.length === 1 ? candidates[0] : undefined
}

const loaded = new WeakMap<Issuer, readonly VerificationKey[]>()

const Base64url = v.pipe(v.string(), v.regex(/^[\w-]+$/))

// No private members: what this schema returns is all that is imported.
const PublicKey = v.variant('kty', [
  v.object({ kty: v.literal('OKP'), crv: v.literal('Ed25519'), x: Base64url }),
  v.object({ kty: v.literal('EC'), crv: v.literal('P-256'), x: Base64url, y: Base64url }),
  v.object({ kty: v.literal('RSA'), n: Base64url, e: Base64url }),
])
const Use = v.object({
  kid: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(256))),
  use: v.optional(v.picklist(['sig', 'jwt-svid'])),
  key_ops: v.optional(v.pipe(v.array(v.string()), v.includes('verify'))),
  alg: v.optional(v.string()),
})

const fits: Record<v.InferOutput<typeof PublicKey>['kty'], readonly Algorithm[]> = {
  OKP: ['EdDSA', 'Ed25519'],
  EC: ['ES256'],
  RSA: ['RS256', 'PS256'],
}

const readKey = async (
  jwk: Record<string, unknown>,
  allowed: readonly Algorithm[],
  intended: KeyUse,
): Promise<VerificationKey[] | string> => {
  if (['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'].some(member => Object.hasOwn(jwk, member)))
    return 'a private or symmetric key: only public keys belong here'
  const material = v.safeParse(PublicKey, jwk)
  if (!material.success) return 'not an Ed25519, P-256 or RSA public key (RFC 7518, 6; RFC 8037, 2)'
  const use = v.safeParse(Use, jwk)
  if (!use.success || (use.output.use === 'jwt-svid' && intended !== 'jwt-svid'))
    return 'not a key to verify signatures with (RFC 7517, 4)'
  const key = material.output
  const { kid, alg } = use.output
  const usable = [...new Set(allowed)].filter(
    name => fits[key.kty].includes(name) && (alg === undefined || alg === name),
  )
  if (usable.length === 0) return "the issuer's algorithms have no use for this key"
  const read: VerificationKey[] = []
  for (const name of usable) {
    try {
      const imported = await importJWK(key, name)
      if (!(imported instanceof CryptoKey)) return 'not an asymmetric key'
      if (bits(imported) < MIN_RSA_BITS || bits(imported) > MAX_RSA_BITS)
        return `an RSA key must have ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`
      const thumbprint = await calculateJwkThumbprint(key)
      read.push({ alg: name, thumbprint, key: imported, ...(kid !== undefined && { kid }) })
    } catch {
      return 'the key cannot be imported'
    }
  }
  return read
}

// RFC 7518, 3.3 and 3.5. The upper bound keeps one verification cheap.
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192

/** The size of an RSA key; of other keys, one that is right by their curve. */
const bits = (key: CryptoKey): number =>
  'modulusLength' in key.algorithm && typeof key.algorithm.modulusLength === 'number'
    ? key.algorithm.modulusLength
    : MIN_RSA_BITS

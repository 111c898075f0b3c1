import { CompactSign, calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose'
import * as v from 'valibot'

/** The secret that holds the Worker's own signing keys: a JSON Web Key Set (RFC 7517) as text, see `Keys`. */
export type SigningEnv = { SIGNING_KEYS: string }

/** The key that signs now. */
export type Signer = { alg: 'EdDSA' | 'ES256'; kid: string; key: CryptoKey }

/**
 * The key to sign with. Throws where the secret holds none: a fault of the operator, so ask before deciding, while
 * nothing has been taken yet.
 */
export const signer = async (env: SigningEnv): Promise<Signer> => (await load(env.SIGNING_KEYS)).signer

/** The public halves, for `/.well-known/jwks.json`. */
export const publicJwks = async (env: SigningEnv): Promise<{ keys: JWK[] }> => (await load(env.SIGNING_KEYS)).published

const Base64url = v.pipe(v.string(), v.regex(/^[\w-]+$/))
const lifecycle = {
  /** The private half. A retired key stays without it, as long as what it signed is to be verified. */
  d: v.optional(Base64url),
  /** The next key, to be known everywhere before it signs. */
  published_only: v.optional(v.boolean(), false),
}

/** The first key that has `d` and isn't `published_only` signs; all are published. `kid` is computed (RFC 7638). */
const Keys = v.object({
  keys: v.pipe(
    v.array(
      v.variant('crv', [
        v.object({ kty: v.literal('OKP'), crv: v.literal('Ed25519'), x: Base64url, ...lifecycle }),
        v.object({ kty: v.literal('EC'), crv: v.literal('P-256'), x: Base64url, y: Base64url, ...lifecycle }),
      ]),
    ),
    v.minLength(1),
    v.maxLength(16),
  ),
})
type Key = v.InferOutput<typeof Keys>['keys'][number]

type Loaded = { text: string; signer: Signer; published: { keys: JWK[] } }

/** By the secret's text, so that a new secret is a new load. */
let loaded: Loaded | undefined

const load = async (text: string): Promise<Loaded> => {
  if (loaded?.text === text) return loaded
  const keys = parse(text)
  const published = await Promise.all(keys.map(publicHalf))
  if (new Set(published.map(key => key.kid)).size < published.length) throw new Error('SIGNING_KEYS holds a key twice')
  const signers = await Promise.all(keys.map(privateHalf))
  const first = signers.find((key, index) => key && !keys[index]?.published_only)
  if (!first) throw new Error('SIGNING_KEYS holds no key that signs')
  loaded = { text, signer: first, published: { keys: published } }
  return loaded
}

// Errors say what is wrong and never quote: the text is a secret.
const parse = (text: string): Key[] => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new Error('SIGNING_KEYS is not JSON')
  }
  const parsed = v.safeParse(Keys, json)
  if (!parsed.success) throw new Error('SIGNING_KEYS is not a set of 1 to 16 keys of Ed25519 or P-256')
  return parsed.output.keys
}

const algorithm = (key: Key): Signer['alg'] => (key.crv === 'Ed25519' ? 'EdDSA' : 'ES256')

/** Member by member: nothing of the private half can slip along. */
const publicHalf = async (key: Key): Promise<JWK & { kid: string }> => {
  const material =
    key.crv === 'Ed25519'
      ? { kty: key.kty, crv: key.crv, x: key.x }
      : { kty: key.kty, crv: key.crv, x: key.x, y: key.y }
  return { ...material, kid: await calculateJwkThumbprint(material), alg: algorithm(key), use: 'sig' }
}

/** The key to sign with, proven to belong to what is published. */
const privateHalf = async (key: Key): Promise<Signer | undefined> => {
  if (key.d === undefined) return undefined
  const alg = algorithm(key)
  const { kid, ...material } = await publicHalf(key)
  try {
    const pair = { private: await importJWK({ ...material, d: key.d }, alg), public: await importJWK(material, alg) }
    const proof = await new CompactSign(new Uint8Array(1)).setProtectedHeader({ alg }).sign(pair.private)
    await compactVerify(proof, pair.public)
    if (pair.private instanceof CryptoKey) return { alg, kid, key: pair.private }
  } catch {
    // Told below: the library's error may describe the key.
  }
  throw new Error('SIGNING_KEYS holds a key whose halves do not belong together')
}

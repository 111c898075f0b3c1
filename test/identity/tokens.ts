import { base64url, exportJWK, generateKeyPair } from 'jose'
import * as v from 'valibot'
import type { Verification } from '../../src/identity/verify.ts'
import { Issuer } from '../../src/policy/tenant.ts'

export const NOW = 1_800_000_000_000
export const seconds = NOW / 1000
export const TENANT = 'https://countersign.example/acme'
export const ISS = 'https://idp.example'

export const verification = (changes: Partial<Verification> = {}): Verification => ({
  tenant: TENANT,
  bundle: { seq: 1, hash: 'first' },
  now: NOW,
  local: false,
  ...changes,
})

/** A key pair and what signs with it. `public` carries the kid. */
export type Pair = { public: Record<string, unknown>; private: CryptoKey; alg: string; kid: string }

export const pair = async (alg: string, kid: string): Promise<Pair> => {
  const keys = await generateKeyPair(alg, { extractable: true })
  return { public: { ...(await exportJWK(keys.publicKey)), kid }, private: keys.privateKey, alg, kid }
}

/** An RSA pair of any size, which jose would not make. */
export const rsaPair = async (bits: number, kid: string): Promise<Pair> => {
  const keys = await crypto.subtle.generateKey(
    { name: 'RSASSA-PKCS1-v1_5', modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    true,
    ['sign', 'verify'],
  )
  if (!('privateKey' in keys)) throw new Error('not a pair')
  const { kty, n, e } = await exportJWK(keys.publicKey)
  return { public: { kty, n, e, kid }, private: keys.privateKey, alg: 'RS256', kid }
}

/** An issuer's entry as a bundle has it, defaults filled in. */
export const issuerOf = (keys: Pair[], changes: Partial<v.InferInput<typeof Issuer>> = {}): Issuer =>
  v.parse(Issuer, {
    id: 'idp',
    iss: ISS,
    algorithms: [...new Set(keys.map(key => key.alg))],
    jwks: { keys: keys.map(key => key.public) },
    roles: { allowed: ['agent', 'pep'], default: ['agent'] },
    agent: { type: 'Agent', prefix: 'idp/' },
    user: { type: 'User' },
    ...changes,
  })

export const claimsOf = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: ISS,
  sub: 'refunder',
  aud: TENANT,
  iat: seconds - 10,
  exp: seconds + 300,
  ...changes,
})

const utf8 = new TextEncoder()
export const b64 = (part: unknown): string =>
  base64url.encode(
    part instanceof Uint8Array ? part : utf8.encode(typeof part === 'string' ? part : JSON.stringify(part)),
  )

/** Signs whatever is given: objects as JSON, texts and bytes as they are. No library's good sense stands in the way. */
export const forge = async (
  key: Pair,
  claims: unknown = claimsOf(),
  header: unknown = { alg: key.alg, kid: key.kid },
): Promise<string> => {
  const input = `${b64(header)}.${b64(claims)}`
  const signature = await crypto.subtle.sign(subtle[key.alg] ?? key.alg, key.private, utf8.encode(input))
  return `${input}.${b64(new Uint8Array(signature))}`
}

/** A token under HMAC, keyed with bytes that an attacker knows. */
export const hmac = async (secret: Uint8Array, header: unknown, claims: unknown = claimsOf()): Promise<string> => {
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const input = `${b64(header)}.${b64(claims)}`
  return `${input}.${b64(new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8.encode(input))))}`
}

const subtle: Record<string, { name: string; hash?: string; saltLength?: number }> = {
  EdDSA: { name: 'Ed25519' },
  Ed25519: { name: 'Ed25519' },
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5' },
  RS512: { name: 'RSASSA-PKCS1-v1_5' },
  PS256: { name: 'RSA-PSS', saltLength: 32 },
}

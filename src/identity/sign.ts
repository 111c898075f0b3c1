import { base64url } from 'jose'
import type { Signer } from './keys.ts'

/**
 * Signs claims as a JWS in compact form (RFC 7515, 7.1) with a header of `alg`, `typ` and `kid`. A permit is made for each
 * action that is allowed, and the key and its header are always the same, so this is done without a library.
 */
export const signCompact = async (signer: Signer, type: string, claims: object): Promise<string> => {
  const signed = `${headerOf(signer, type)}.${base64url.encode(JSON.stringify(claims))}`
  const signature = await crypto.subtle.sign(ALGORITHMS[signer.alg], signer.key, utf8.encode(signed))
  return `${signed}.${base64url.encode(new Uint8Array(signature))}`
}

const utf8 = new TextEncoder()

/** RFC 8037, 3.1, and RFC 7518, 3.4. */
const ALGORITHMS = { EdDSA: { name: 'Ed25519' }, ES256: { name: 'ECDSA', hash: 'SHA-256' } } as const

const headerOf = (signer: Signer, type: string): string => {
  const known = headers.get(signer)?.get(type)
  if (known !== undefined) return known
  const header = base64url.encode(JSON.stringify({ alg: signer.alg, typ: type, kid: signer.kid }))
  headers.set(signer, new Map([...(headers.get(signer) ?? []), [type, header]]))
  return header
}

/** By key and type of token, of which there are few. */
const headers = new WeakMap<Signer, ReadonlyMap<string, string>>()

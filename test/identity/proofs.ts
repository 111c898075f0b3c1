import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'
import { sha256 } from '../../src/durable/hash.ts'
import { forge, type Pair } from './tokens.ts'

/** A key that tokens are bound to, and what proves it (RFC 9449). */
export type Holder = Pair & { jkt: string; jwk: Record<string, unknown> }

export const holder = async (alg = 'ES256'): Promise<Holder> => {
  const keys = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(keys.publicKey)
  return { public: jwk, private: keys.privateKey, alg, kid: '', jwk, jkt: await calculateJwkThumbprint(jwk) }
}

type Changes = { claims?: Record<string, unknown>; header?: Record<string, unknown>; by?: Pair }

/** A proof for one call, right but for the changes. */
export const prove = (
  key: Holder,
  call: { method: string; url: string; now: number; token?: string },
  { claims = {}, header = {}, by = key }: Changes = {},
): Promise<string> =>
  forge(
    by,
    {
      jti: crypto.randomUUID(),
      htm: call.method,
      htu: call.url,
      iat: Math.floor(call.now / 1000),
      ...(call.token !== undefined && { ath: sha256(call.token) }),
      ...claims,
    },
    { typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk, ...header },
  )

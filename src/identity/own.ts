import { CompactSign, createLocalJWKSet, errors, type JWTPayload, jwtVerify } from 'jose'
import { publicJwks, type Signer, type SigningEnv } from './keys.ts'

/**
 * Tokens that the Worker makes for itself and others carry: bindings of denials, states of approvals, links. Each kind
 * has a type of its own (RFC 8725, 3.11), so that none passes for another.
 */
export type OwnType = 'binding+jwt' | 'approval+jwt' | 'link+jwt'

/** All but the signature follows from the claims. */
export const signOwn = (signer: Signer, type: OwnType, claims: JWTPayload): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: signer.alg, typ: type, kid: signer.kid })
    .sign(signer.key)

/** Verifies what `signOwn` made for this tenant. `now` in milliseconds; half a minute of difference is borne. */
export const verifyOwn = async (
  env: SigningEnv,
  token: string,
  { type, tenant, now }: { type: OwnType; tenant: string; now: number },
): Promise<{ ok: true; claims: JWTPayload } | { ok: false; lapsed?: JWTPayload }> => {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(await publicJwks(env)), {
      typ: type,
      issuer: tenant,
      audience: tenant,
      algorithms: ['EdDSA', 'ES256'],
      currentDate: new Date(now),
      clockTolerance: 30,
      requiredClaims: ['exp', 'iat'],
    })
    return { ok: true, claims: payload }
  } catch (error) {
    // Times are checked after the signature: what has lapsed is still what we said.
    return error instanceof errors.JWTExpired ? { ok: false, lapsed: error.payload } : { ok: false }
  }
}

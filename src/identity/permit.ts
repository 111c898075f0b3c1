import { CompactSign, compactVerify, createLocalJWKSet, type JWK } from 'jose'
import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import { readObject } from './jws.ts'
import type { Signer } from './keys.ts'
import type { PrincipalChain } from './principals.ts'
import { uidText } from './uid.ts'

/** What a permit states. Times are milliseconds here, whole seconds in the token. */
export type Permit = {
  /** The tenant's identifier: the permit's issuer. */
  tenant: string
  evaluationId: string
  principals: PrincipalChain
  action: string
  resource: EntityUid
  /** SHA-256 of the JCS form of the final arguments, base64url. */
  argumentsHash: string
  actionHash: string
  /** Hash of the bundle that decided. */
  bundle: string
  /** Good for nothing until it is redeemed, once. */
  redeem?: true
  issuedAt: number
  expiresAt: number
}

/** The claims of a permit: a JWT (RFC 7519) of type `permit+jwt`, so that it passes for no other kind of token. */
type PermitClaims = {
  iss: string
  /** The agent as `Type::"id"`. */
  sub: string
  jti: string
  iat: number
  exp: number
  agent: EntityUid
  chain: EntityUid[]
  user?: EntityUid
  action: string
  resource: EntityUid
  arguments_hash: string
  action_hash: string
  bundle: string
  /** Absent where offline verification is all that is asked for. */
  redeem?: true
}

const PERMIT_TYPE = 'permit+jwt'

/** Signs a permit. All but the signature follows from the arguments, so a retry gets the same permit. */
export const signPermit = (signer: Signer, permit: Permit): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(permitClaims(permit))))
    .setProtectedHeader({ alg: signer.alg, typ: PERMIT_TYPE, kid: signer.kid })
    .sign(signer.key)

/** Of a permit that is ours, what redeeming it needs; whether it has lapsed is for the agent's object to say. */
export const readPermit = async (
  token: string,
  keys: readonly JWK[],
  tenant: string,
): Promise<{ evaluationId: string; agent: EntityUid } | undefined> => {
  try {
    const { payload, protectedHeader } = await compactVerify(token, createLocalJWKSet({ keys: [...keys] }), {
      algorithms: ['EdDSA', 'ES256'],
    })
    const claims = v.safeParse(RedeemClaims, readObject(payload))
    if (protectedHeader.typ !== PERMIT_TYPE || !claims.success || claims.output.iss !== tenant) return undefined
    return { evaluationId: claims.output.jti, agent: claims.output.agent }
  } catch {
    return undefined
  }
}

const RedeemClaims = v.object({
  iss: v.string(),
  jti: v.pipe(v.string(), v.uuid()),
  agent: v.object({ type: v.string(), id: v.string() }),
})

const permitClaims = (permit: Permit): PermitClaims => {
  const { actor, chain, user } = permit.principals
  return {
    iss: permit.tenant,
    sub: uidText(actor),
    jti: permit.evaluationId,
    iat: Math.floor(permit.issuedAt / 1000),
    // Never later than what was decided.
    exp: Math.floor(permit.expiresAt / 1000),
    agent: bare(actor),
    chain: chain.map(bare),
    ...(user && { user: bare(user) }),
    action: permit.action,
    resource: bare(permit.resource),
    arguments_hash: permit.argumentsHash,
    action_hash: permit.actionHash,
    bundle: permit.bundle,
    ...(permit.redeem && { redeem: true }),
  }
}

/** The two members alone, in one order, whatever else an entity carries along. */
const bare = ({ type, id }: EntityUid): EntityUid => ({ type, id })

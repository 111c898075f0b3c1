import { CompactSign } from 'jose'
import type { EntityUid } from '../cedar/json.ts'
import { MAX_TOKEN } from '../identity/bearer.ts'
import type { GrantItem } from '../identity/grant.ts'
import type { Signer } from '../identity/keys.ts'
import type { DelegatedClaims } from '../identity/own-issuer.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'

export type Minting = {
  /** The tenant's identifier: issuer and audience. */
  identifier: string
  id: string
  principals: PrincipalChain
  delegations: string[]
  admitted: DelegatedClaims['admitted']
  /** Seconds, all three. */
  since: number
  issuedAt: number
  expires: number
  jkt: string
  grants: readonly GrantItem[]
  session?: string
  /** The names of the sessions that this one comes from, where it is the delegation's own. */
  within?: readonly string[]
}

export type Unsigned = { bytes: Uint8Array; sign: (signer: Signer) => Promise<string> }

/** An access token of our own (RFC 9068, bound by RFC 9449, 6; `act` RFC 8693, 4.1; RFC 9396, 9.1), ready to be signed. */
export const mint = (minting: Minting): Unsigned => {
  const bytes = new TextEncoder().encode(JSON.stringify(claimsOf(minting)))
  return {
    bytes,
    sign: ({ alg, kid, key }) => new CompactSign(bytes).setProtectedHeader({ alg, typ: 'at+jwt', kid }).sign(key),
  }
}

/** Whether it would be longer than any token that is looked at: three parts, the header and signature short and known. */
export const tooLarge = ({ bytes }: Unsigned): boolean => Math.ceil((bytes.byteLength * 4) / 3) + 300 > MAX_TOKEN

const claimsOf = (minting: Minting) => {
  const { identifier, id, principals, delegations, admitted, since, issuedAt, expires, jkt, grants } = minting
  const { session, within } = minting
  const { actor, chain, user } = principals
  const acting = [actor, ...chain]
  // Who began it is the subject, and those that act for it are nested in `act`, the one that acts outermost.
  const subject = user ?? acting.at(-1) ?? actor
  const actors = user ? acting : acting.slice(0, -1)
  const act = actors.reduceRight<Act | undefined>(
    (inner, uid) => ({ sub: uidText(uid), ...(inner && { act: inner }) }),
    undefined,
  )
  return {
    iss: identifier,
    aud: identifier,
    sub: uidText(subject),
    client_id: uidText(actor),
    jti: id,
    iat: issuedAt,
    exp: expires,
    cnf: { jkt },
    ...(act && { act }),
    agent: bare(actor),
    chain: chain.map(bare),
    ...(user && { user: bare(user) }),
    delegations,
    since,
    admitted,
    ...(session !== undefined && { sid: session }),
    ...(within && { within }),
    ...(grants.length > 0 && { authorization_details: grants }),
  }
}

type Act = { sub: string; act?: Act }

const bare = ({ type, id }: EntityUid): EntityUid => ({ type, id })

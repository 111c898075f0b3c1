import { base64url } from 'jose'
import { type Body, commitmentsOf, type Secret } from '../audit/receipt.ts'
import { sha256 } from '../durable/hash.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { bare } from '../identity/uid.ts'
import type { Parties } from './parties.ts'

type Recorded = {
  id: string
  principals: PrincipalChain
  jkt: string
  /** What more is to be said of the delegation. */
  about: Record<string, unknown>
  /** What may be personal. */
  secrets: Record<string, unknown>
}

/** The receipt of an exchange, on the chain of whoever hands on. */
export const recordOf = (
  { id, principals, jkt, about, secrets: values }: Recorded,
  { delegator }: Parties,
): { body: Body; secrets: Record<string, Secret> } => {
  const { actor, chain, user } = principals
  const secrets = Object.fromEntries(
    Object.entries({ caller: delegator.name, ...(user && { user: bare(user) }), ...values }).map(
      ([name, value]) => [name, salted(value)] as const,
    ),
  )
  return {
    body: {
      agent: bare(delegator.principals.actor),
      delegation: { id, to: bare(actor), chain: chain.map(bare), key: sha256(jkt), ...about },
      ...commitmentsOf(secrets),
    },
    secrets,
  }
}

/** A delegation is about no resource; what an agent hands on may be about itself. */
export const subjectsOf = ({ actor, user }: PrincipalChain) => ({ resource: actor, ...(user && { user }) })

export const salted = (value: unknown): Secret => ({
  salt: base64url.encode(crypto.getRandomValues(new Uint8Array(16))),
  value: JSON.parse(JSON.stringify(value)),
})

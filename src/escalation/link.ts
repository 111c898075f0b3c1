import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import type { Signer, SigningEnv } from '../identity/keys.ts'
import { signOwn, verifyOwn } from '../identity/own.ts'

/**
 * The link in a message: it opens the page of one escalation. One that was sent to a person speaks for that person, once
 * (an approver answers once); one that was sent to a channel only shows the request.
 */
export type Link = { task: string; approver?: EntityUid }

const LinkClaims = v.looseObject({
  task: v.string(),
  approver: v.optional(v.object({ type: v.string(), id: v.string() })),
})

/** The same delivery has the same link, however often it is sent. */
export const linkUrl = async (
  signer: Signer,
  identifier: string,
  { task, approver }: Link,
  { id, at, until }: { id: string; at: number; until: number },
): Promise<string> => {
  const token = await signOwn(signer, 'link+jwt', {
    iss: identifier,
    aud: identifier,
    iat: Math.floor(at / 1000),
    exp: Math.ceil(until / 1000),
    jti: id,
    task,
    ...(approver && { approver: { type: approver.type, id: approver.id } }),
  })
  return `${identifier}/approvals/${token}`
}

export const readLink = async (
  env: SigningEnv,
  token: string,
  at: { tenant: string; now: number },
): Promise<Link | undefined> => {
  const verified = await verifyOwn(env, token, { type: 'link+jwt', ...at })
  if (!verified.ok || !v.is(LinkClaims, verified.claims)) return undefined
  const { task, approver } = verified.claims
  return { task, ...(approver && { approver }) }
}

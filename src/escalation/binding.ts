import * as v from 'valibot'
import type { Binding } from '../agent/calls/approvals.ts'
import type { Decided } from '../agent/calls/decide.ts'
import type { Ask } from '../decision/ask.ts'
import { contentHash } from '../durable/hash.ts'
import type { Signer, SigningEnv } from '../identity/keys.ts'
import { signOwn, verifyOwn } from '../identity/own.ts'

/**
 * What ties a request for approval to the denial that it answers (Access Request and Approval Profile, Binding Token
 * Integrity): the hashed form, since the arguments may be long, signed with the key of permits.
 */

/** Of the action as AuthZEN writes it. Of the context only the members that the PDP took as input bind. */
export const bindingHash = ({ subject, action, resource, context }: Ask, members: readonly string[]): string => {
  const { properties, ...named } = subject
  const { act: _, ...rest } = properties ?? {}
  const given = Object.entries(context ?? {}).filter(([name]) => members.includes(name))
  return contentHash(
    JSON.parse(
      JSON.stringify({
        subject: properties ? { ...named, properties: rest } : named,
        resource,
        action,
        context: Object.fromEntries(given),
      }),
    ),
  )
}

const BindingClaims = v.looseObject({
  evaluation_id: v.string(),
  exp: v.number(),
  binding_hash: v.string(),
  binding_context_members: v.array(v.string()),
})

/** The token that comes with a requestable denial. A retry gets the same one. */
export const signBinding = (
  signer: Signer,
  tenant: string,
  { evaluationId, at, escalate }: Pick<Decided, 'evaluationId' | 'at'> & Required<Pick<Decided, 'escalate'>>,
  binding: Binding,
): Promise<string> =>
  signOwn(signer, 'binding+jwt', {
    iss: tenant,
    aud: tenant,
    iat: Math.floor(at / 1000),
    exp: Math.floor(escalate.expiresAt / 1000),
    jti: evaluationId,
    evaluation_id: evaluationId,
    binding_hash: binding.bindingHash,
    binding_context_members: binding.contextMembers,
    action_hash: binding.actionHash,
    forbids: escalate.forbids.map(({ policy, textHash }) => ({ policy, text_hash: textHash })),
  })

/** The evaluation that a genuine token names, and when it lapses: one that has is still genuine. */
export const readBinding = async (
  env: SigningEnv,
  token: string,
  at: { tenant: string; now: number },
): Promise<{ kind: 'bound'; evaluationId: string; bindingHash: string; expiresAt: number } | { kind: 'invalid' }> => {
  const verified = await verifyOwn(env, token, { type: 'binding+jwt', ...at })
  const claims = verified.ok ? verified.claims : verified.lapsed
  if (!v.is(BindingClaims, claims)) return { kind: 'invalid' }
  const { evaluation_id: evaluationId, binding_hash: hash, exp } = claims
  return { kind: 'bound', evaluationId, bindingHash: hash, expiresAt: exp * 1000 }
}

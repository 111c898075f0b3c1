import * as v from 'valibot'
import { GrantItem } from '../identity/grant.ts'
import { TypeName } from '../policy/tenant.ts'
import type { OAuthRefusal } from './refusal.ts'
import { oauthRefusal } from './refusal.ts'

/** What a token exchange asks for (RFC 8693, 2.1), with what is ours: the last four of the form. */
export type ExchangeRequest = {
  subject: { token: string; kind: 'access' | 'id-jag' }
  /** The acting agent's own token, where the subject is a user. */
  actor?: string
  /** The agent that gets the token; by default the one that asks, for a task of its own. */
  agent?: { type: string; id: string }
  /** The narrower authority that is asked for; none: just what the subject's token grants. */
  items: readonly GrantItem[]
  /** The key that the new token is bound to; by default that of the proof. */
  jkt?: string
  /** Seconds. */
  expiresIn?: number
  /** What humans are told, where they are asked: the requester's words. */
  justification?: string
}

const TYPE = 'urn:ietf:params:oauth:token-type:'
export const ACCESS_TOKEN = `${TYPE}access_token`
const KINDS = new Map<string | undefined, 'access' | 'id-jag'>([
  [ACCESS_TOKEN, 'access'],
  [`${TYPE}jwt`, 'access'],
  [`${TYPE}id-jag`, 'id-jag'],
])

const json = <S extends v.GenericSchema>(schema: S) => v.pipe(v.string(), v.parseJson(), schema)
const Token = v.pipe(v.string(), v.minLength(1), v.maxLength(8 * 1024))

const Form = v.object({
  grant_type: v.string(),
  subject_token: Token,
  subject_token_type: v.string(),
  actor_token: v.optional(Token),
  actor_token_type: v.optional(v.string()),
  requested_token_type: v.optional(v.string()),
  resource: v.optional(v.string()),
  audience: v.optional(v.string()),
  scope: v.optional(v.string()),
  authorization_details: v.optional(
    json(v.pipe(v.array(v.omit(GrantItem, ['grant'])), v.minLength(1), v.maxLength(16))),
  ),
  agent: v.optional(json(v.strictObject({ type: TypeName, id: v.pipe(v.string(), v.minLength(1), v.maxLength(256)) }))),
  dpop_jkt: v.optional(v.pipe(v.string(), v.regex(/^[\w-]{43}$/))),
  expires_in: v.optional(v.pipe(v.string(), v.regex(/^[1-9]\d{0,5}$/), v.transform(Number))),
  justification: v.optional(v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(2_000))),
})

/** Reads the form of a request to the token endpoint. `identifier`: the only audience that tokens are minted for. */
export const readExchange = (form: URLSearchParams, identifier: string): ExchangeRequest | OAuthRefusal => {
  const fields = [...form]
  if (new Set(fields.map(([name]) => name)).size < fields.length)
    return oauthRefusal('invalid_request', 'malformed_request', 'a parameter stands twice')
  const parsed = v.safeParse(Form, Object.fromEntries(fields), { abortEarly: true })
  if (!parsed.success) {
    const [issue] = parsed.issues
    const name = String(issue.path?.[0]?.key ?? '')
    const error = name === 'authorization_details' ? 'invalid_authorization_details' : 'invalid_request'
    return oauthRefusal(error, 'malformed_request', `${name}: ${issue.message}`)
  }
  const request = parsed.output
  if (request.grant_type !== 'urn:ietf:params:oauth:grant-type:token-exchange')
    return oauthRefusal('unsupported_grant_type', 'malformed_request')
  const kind = KINDS.get(request.subject_token_type)
  const actorKind = KINDS.get(request.actor_token_type)
  if (!kind) return oauthRefusal('invalid_request', 'malformed_request', 'subject_token_type')
  if ((request.actor_token === undefined) !== (request.actor_token_type === undefined) || actorKind === 'id-jag')
    return oauthRefusal('invalid_request', 'malformed_request', 'actor_token_type')
  if ((request.requested_token_type ?? ACCESS_TOKEN) !== ACCESS_TOKEN)
    return oauthRefusal('invalid_request', 'malformed_request', 'requested_token_type')
  if ([request.resource, request.audience].some(target => target !== undefined && target !== identifier))
    return oauthRefusal('invalid_target', 'malformed_request')
  // Authority is asked for by authorization_details alone: a scope would be a promise that nothing keeps.
  if (request.scope) return oauthRefusal('invalid_scope', 'malformed_request')
  const { actor_token: actor, agent, dpop_jkt: jkt, expires_in: expiresIn, justification } = request
  return {
    subject: { token: request.subject_token, kind },
    items: request.authorization_details ?? [],
    ...(actor !== undefined && { actor }),
    ...(agent && { agent }),
    ...(jkt !== undefined && { jkt }),
    ...(expiresIn !== undefined && { expiresIn }),
    ...(justification !== undefined && { justification }),
  }
}

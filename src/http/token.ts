import { type Context, Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import * as v from 'valibot'
import { vaultOf } from '../audit/privacy/vault.ts'
import { reasons } from '../decision/reasons.ts'
import type { Held } from '../delegation/deps.ts'
import { exchange } from '../delegation/exchange.ts'
import { type Parties, partiesOf } from '../delegation/parties.ts'
import { isOAuthRefusal, type OAuthRefusal, oauthRefusal } from '../delegation/refusal.ts'
import { ACCESS_TOKEN, readExchange } from '../delegation/request.ts'
import { sha256 } from '../durable/hash.ts'
import { checkProof } from '../identity/dpop.ts'
import { GrantItem } from '../identity/grant.ts'
import { signer } from '../identity/keys.ts'
import type { Verification } from '../identity/verify.ts'
import { epochOf } from './asked.ts'
import { claimOf, issuersOf, sourceIo, verificationOf } from './authenticated.ts'
import { boundedBytes } from './body.ts'
import { json } from './describe.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

const Issued = v.object({
  access_token: v.string(),
  issued_token_type: v.string(),
  token_type: v.literal('DPoP'),
  /** Seconds. */
  expires_in: v.number(),
  /** All that must permit, the delegator's grants included; absent where nothing narrows. */
  authorization_details: v.optional(v.array(GrantItem)),
})

const OAuthError = v.object({
  error: v.string(),
  error_description: v.string(),
  reason: v.string(),
  detail: v.optional(v.string()),
  /** Seconds until it may be asked again, while humans are asked (`authorization_pending`). */
  interval: v.optional(v.number()),
  /** By which they are asked: what `status_endpoint` answers. */
  task: v.optional(v.record(v.string(), v.unknown())),
})

/** The token endpoint (RFC 6749, 3.2) for token exchange (RFC 8693). */
export const token = new Hono<AppEnv>().post(
  '/v1/token',
  describeRoute({
    summary: 'Hand authority on: to a child agent, or to an agent that acts for a user',
    security: [],
    requestBody: { required: true, content: { 'application/x-www-form-urlencoded': { schema: { type: 'object' } } } },
    responses: {
      200: json('The token', Issued),
      400: { description: 'No token', content: { 'application/json': { schema: resolver(OAuthError) } } },
      429: { description: 'Too many attempts', content: { 'application/json': { schema: resolver(OAuthError) } } },
      503: { description: 'Not now', content: { 'application/json': { schema: resolver(OAuthError) } } },
    },
  }),
  async c => {
    const found = await c.var.parts.source.current(c.var.place.tenant, sourceIo(c))
    if (!found.ok) return failed(c, oauthRefusal('temporarily_unavailable', found.reason))
    const form = await readForm(c)
    if (isOAuthRefusal(form)) return failed(c, form)
    const identifier = identifierOf(c.var.place.tenant, c.env)
    const request = readExchange(form, identifier)
    if (isOAuthRefusal(request)) return failed(c, request)
    const { bundle } = found
    const verification = verificationOf(c, bundle)
    const parties = await partiesOf(request, await issuersOf(c, bundle), verification, bundle)
    if (isOAuthRefusal(parties)) return failed(c, parties)
    const held = await holding(parties, request.jkt, verification)
    if (isOAuthRefusal(held)) return failed(c, held, verification.call.nonces.current)
    const epoch = await epochOf(c)
    if (!epoch) return failed(c, oauthRefusal('temporarily_unavailable', 'bundle_stale'))
    const issued = await exchange(request, parties, held, {
      tenant: c.var.place.tenant,
      identifier,
      bundle,
      db: c.env.DB,
      agents: c.env.AGENT,
      escalations: c.env.ESCALATION,
      signer: await signer(c.env),
      vault: vaultOf(c.env, c.var.place.tenant, c.var.now),
      now: c.var.now,
      epoch,
      waitUntil: work => c.executionCtx.waitUntil(work),
    })
    if (isOAuthRefusal(issued)) return failed(c, issued)
    return c.json({
      access_token: issued.token,
      issued_token_type: ACCESS_TOKEN,
      token_type: 'DPoP',
      expires_in: issued.expiresIn,
      ...(issued.grants.length > 0 && { authorization_details: issued.grants }),
    } satisfies v.InferOutput<typeof Issued>)
  },
)

/**
 * That the caller holds every key that its tokens are bound to, and the key that the new token is bound to: the one that
 * the request names, else the proof's (RFC 9449, 5). One of the two there must be: no token is minted for just anyone.
 */
const holding = async (
  { bound, issuer, assertion }: Parties,
  named: string | undefined,
  { call, now }: Verification & { call: NonNullable<Verification['call']> },
): Promise<Held | OAuthRefusal> => {
  const used = assertion ? [{ id: sha256(assertion.id), call: crypto.randomUUID(), until: assertion.exp * 1000 }] : []
  if (bound.length === 0 && named !== undefined) return { jkt: named, proofs: used }
  const proof = await checkProof(call.proof, {
    ...call,
    now,
    skew: issuer.skew,
    isNonce: call.nonces.accepts,
    nonce: issuer.dpop === 'nonce',
  })
  if (proof === 'nonce' || proof === 'nonce_absent') return oauthRefusal('use_dpop_nonce', 'use_dpop_nonce')
  if (typeof proof === 'string' || bound.some(jkt => jkt !== proof.jkt))
    return oauthRefusal(
      'invalid_dpop_proof',
      'invalid_dpop_proof',
      bound.length === 0 ? "the new token's key: its thumbprint in dpop_jkt, or a proof in DPoP" : undefined,
    )
  return { jkt: named ?? proof.jkt, proofs: [claimOf(proof), ...used] }
}

const readForm = async (c: Context<AppEnv>): Promise<URLSearchParams | OAuthRefusal> => {
  const media = c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (media !== 'application/x-www-form-urlencoded')
    return oauthRefusal('invalid_request', 'malformed_request', 'the body is a form')
  const bytes = await boundedBytes(c.req.raw)
  if (!bytes) return oauthRefusal('invalid_request', 'body_too_large')
  return new URLSearchParams(new TextDecoder().decode(bytes))
}

const failed = (c: Context<AppEnv>, refusal: OAuthRefusal, nonce?: string): Response => {
  const { error, reason, detail, retryAfter, task } = refusal
  const status = error === 'temporarily_unavailable' ? 503 : error === 'slow_down' ? 429 : 400
  return c.json(
    {
      error,
      error_description: reasons[reason],
      reason,
      ...(detail !== undefined && { detail }),
      ...(task && { interval: retryAfter, task }),
    } satisfies v.InferInput<typeof OAuthError>,
    status,
    {
      'cache-control': 'no-store',
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(error === 'use_dpop_nonce' && nonce !== undefined && { 'dpop-nonce': nonce }),
    },
  )
}

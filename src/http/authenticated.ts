import type { Context, MiddlewareHandler } from 'hono'
import type { ProofClaim } from '../agent/call.ts'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { sha256 } from '../durable/hash.ts'
import { nameOf } from '../durable/names.ts'
import type { Caller, Role } from '../identity/caller.ts'
import { PROOF_AGE, type Proof } from '../identity/dpop.ts'
import type { KeyIo } from '../identity/key-sets.ts'
import { noncesOf } from '../identity/nonces.ts'
import { requireRole } from '../identity/roles.ts'
import { authenticate, type Unauthenticated, type Verification } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { SourceIo } from '../policy/source.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

/** A call whose token has been verified against the tenant's active bundle. */
export type Session = {
  bundle: LoadedBundle
  caller: Caller
  /** A proof that must not pass again, where the route's own call to an agent's object sees to that. */
  proof?: ProofClaim
}

/**
 * Lets through who has one of the roles. A stranger without a token costs nothing, not even a read of the bundle.
 * `without` answers where the tenant has no bundle to be judged by. With `settles` the route asks the calling agent's
 * object, which claims the caller's proof along with what it does.
 */
export const authenticated = (
  roles: readonly Role[],
  without: (c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale') => Response | Promise<Response> = unavailable,
  { settles = false } = {},
): MiddlewareHandler<AppEnv> => {
  return async (c, next) => {
    if (c.req.header('authorization') === undefined) return problem(refusal(401, 'unauthenticated'))
    const found = await c.var.parts.source.current(c.var.place.tenant, sourceIo(c))
    if (!found.ok) return without(c, found.reason)
    const session = await sessionOf(c, found.bundle)
    if (session instanceof Response) return session
    const { caller, proof } = session
    if (requireRole(caller, ...roles)) return problem(refusal(403, 'forbidden_role'))
    // A PEP asks about many agents: no one agent's object would see its proof a second time.
    const settled = settles && !caller.roles.includes('pep')
    if (proof && !settled && !(await claimed(c, caller, proof))) return problem(refusal(401, 'invalid_dpop_proof'))
    c.set('session', { bundle: found.bundle, caller, ...(proof && settled && { proof }) })
    await next()
    return
  }
}

/** Verifies the call's token, and its proof, as one bundle reads it; or the answer that says why not. */
export const sessionOf = async (c: Context<AppEnv>, bundle: LoadedBundle): Promise<Session | Response> => {
  const verification = verificationOf(c, bundle)
  const result = await authenticate(c.req.header('authorization'), bundle.settings.issuers, verification)
  if (!result.ok) return refused(result.reason, verification)
  const { caller, proof } = result
  return { bundle, caller, ...(proof && { proof: claimOf(proof) }) }
}

type CallVerification = Verification & { call: NonNullable<Verification['call']> }

/** What any token of this call is judged against. */
export const verificationOf = (c: Context<AppEnv>, bundle: LoadedBundle): CallVerification => {
  const { place, now, parts } = c.var
  const io: KeyIo = {
    ...sourceIo(c),
    tenant: place.tenant,
    hosts: bundle.settings.outgoing ?? [],
    kv: c.env.BUNDLES,
    fetch: parts.fetch,
  }
  const identifier = identifierOf(place.tenant, c.env)
  return {
    tenant: identifier,
    bundle,
    now,
    local: io.local,
    keysOf: (issuer, wanted) => parts.keySets.keysOf(issuer, io, wanted),
    call: {
      method: c.req.method,
      // Whatever name the call came by, its proof speaks of the public one.
      url: c.env.ORIGIN + new URL(c.req.url).pathname,
      proof: c.req.header('dpop'),
      nonces: noncesOf(c.env.SIGNING_KEYS, identifier, now),
    },
  }
}

export const sourceIo = (c: Context<AppEnv>): SourceIo => ({
  kv: c.env.BUNDLES,
  now: c.var.now,
  waitUntil: work => c.executionCtx.waitUntil(work),
  local: c.env.LOCAL === 'true',
  report: text => console.warn(text),
})

const claimOf = ({ jkt, jti, iat }: Proof): ProofClaim => ({
  id: sha256(JSON.stringify([jkt, jti])),
  call: crypto.randomUUID(),
  // As long as any issuer's skew lets it pass, and as long again for an object whose clock is behind.
  until: (iat + 2 * (PROOF_AGE + MAX_SKEW)) * 1000,
})

/** The most that an issuer's entry may say, in seconds. */
const MAX_SKEW = 120

/** One more call than a decision needs: admins, auditors and PEPs have no object of their own to remember their proofs. */
const claimed = (c: Context<AppEnv>, { jkt = '' }: Caller, proof: ProofClaim): Promise<boolean> =>
  c.env.AGENT.getByName(nameOf('proofs', c.var.place.tenant, jkt)).claim(proof)

const refused = (reason: Unauthenticated['reason'], { call }: CallVerification): Response => {
  const answer = problem(refusalFor(reason))
  if (reason === 'use_dpop_nonce') answer.headers.set('dpop-nonce', call.nonces.current)
  return answer
}

const refusalFor = (reason: Unauthenticated['reason']): Refusal =>
  reason === 'issuer_unavailable' ? refusal(503, reason, { retryAfter: 10 }) : refusal(401, reason)

const unavailable = (_c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale'): Response =>
  problem(refusal(reason === 'no_policy' ? 404 : 503, reason))

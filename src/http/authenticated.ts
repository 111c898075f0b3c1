import type { Context, MiddlewareHandler } from 'hono'
import { type Refusal, refusal } from '../decision/refusal.ts'
import type { Caller, Role } from '../identity/caller.ts'
import type { KeyIo } from '../identity/key-sets.ts'
import { requireRole } from '../identity/roles.ts'
import { authenticate, type Unauthenticated, type Verification } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { SourceIo } from '../policy/source.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

/** A call whose token has been verified against the tenant's active bundle. */
export type Session = { bundle: LoadedBundle; caller: Caller }

/**
 * Lets through who has one of the roles. A stranger without a token costs nothing, not even a read of the bundle.
 * `without` answers where the tenant has no bundle to be judged by.
 */
export const authenticated = (
  roles: readonly Role[],
  without: (c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale') => Response | Promise<Response> = unavailable,
): MiddlewareHandler<AppEnv> => {
  return async (c, next) => {
    if (c.req.header('authorization') === undefined) return problem(refusal(401, 'unauthenticated'))
    const found = await c.var.parts.source.current(c.var.place.tenant, sourceIo(c))
    if (!found.ok) return without(c, found.reason)
    const caller = await callerOf(c, found.bundle)
    if ('refused' in caller) return problem(refused(caller.refused))
    if (requireRole(caller, ...roles)) return problem(refusal(403, 'forbidden_role'))
    c.set('session', { bundle: found.bundle, caller })
    return next()
  }
}

/** Verifies the call's token as one bundle reads it. */
export const callerOf = async (
  c: Context<AppEnv>,
  bundle: LoadedBundle,
): Promise<Caller | { refused: Unauthenticated['reason'] }> => {
  const result = await authenticate(c.req.header('authorization'), bundle.settings.issuers, verificationOf(c, bundle))
  return result.ok ? result.caller : { refused: result.reason }
}

/** What any token of this call is judged against. */
export const verificationOf = (c: Context<AppEnv>, bundle: LoadedBundle): Verification => {
  const { place, now, parts } = c.var
  const io: KeyIo = {
    ...sourceIo(c),
    tenant: place.tenant,
    hosts: bundle.settings.outgoing ?? [],
    kv: c.env.BUNDLES,
    fetch: parts.fetch,
  }
  return {
    tenant: identifierOf(place.tenant, c.env),
    bundle,
    now,
    local: io.local,
    keysOf: (issuer, wanted) => parts.keySets.keysOf(issuer, io, wanted),
  }
}

const refused = (reason: Unauthenticated['reason']): Refusal =>
  reason === 'issuer_unavailable' ? refusal(503, reason, { retryAfter: 10 }) : refusal(401, reason)

export const sourceIo = (c: Context<AppEnv>): SourceIo => ({
  kv: c.env.BUNDLES,
  now: c.var.now,
  waitUntil: work => c.executionCtx.waitUntil(work),
  local: c.env.LOCAL === 'true',
  report: text => console.warn(text),
})

const unavailable = (_c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale'): Response =>
  problem(refusal(reason === 'no_policy' ? 404 : 503, reason))

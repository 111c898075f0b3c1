import type { Context, MiddlewareHandler } from 'hono'
import type { ProofClaim } from '../agent/calls/decide.ts'
import { vaultOf } from '../audit/privacy/vault.ts'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { withStored } from '../delegation/names.ts'
import { sha256 } from '../durable/hash.ts'
import { nameOf } from '../durable/names.ts'
import type { Caller } from '../identity/caller.ts'
import { PROOF_AGE, type Proof } from '../identity/dpop.ts'
import type { KeyIo } from '../identity/key-sets.ts'
import type { Lineage } from '../identity/lineage.ts'
import { noncesOf } from '../identity/nonces.ts'
import { ownIssuer } from '../identity/own-issuer.ts'
import { requireRole } from '../identity/roles.ts'
import { authenticate, type Unauthenticated, type Verification } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Role } from '../policy/roles.ts'
import type { SourceIo } from '../policy/source.ts'
import type { Issuer } from '../policy/tenant.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv, Session } from './types.ts'

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
    const found = await c.get('parts').source.current(c.get('place').tenant, sourceIo(c))
    if (!found.ok) return without(c, found.reason)
    const session = await sessionOf(c, found.bundle)
    if (session instanceof Response) return session
    const { caller, claims, proof } = session
    if (requireRole(caller, ...roles)) return problem(refusal(403, 'forbidden_role'))
    // A PEP asks about many agents: no one agent's object would see its proof a second time.
    const settled = settles && isAgent(caller)
    if (proof && !settled && !(await claimed(c, caller, proof))) return problem(refusal(401, 'invalid_dpop_proof'))
    const taken = await takenFrom(c, caller.lineage, found.bundle)
    c.set('session', {
      bundle: found.bundle,
      caller,
      claims,
      ...(proof && settled && { proof }),
      ...(taken !== 'no' && { taken }),
    })
    await next()
    return
  }
}

/** Whether a caller has an object of its own to ask. A gateway has none, whatever else it is. */
export const isAgent = ({ roles }: Caller): boolean => roles.includes('agent') && !roles.includes('pep')

/** Verifies the call's token, and its proof, as one bundle reads it; or the answer that says why not. */
export const sessionOf = async (c: Context<AppEnv>, bundle: LoadedBundle): Promise<Session | Response> => {
  const verification = verificationOf(c, bundle)
  const result = await authenticate(c.req.header('authorization'), await issuersOf(c, bundle), verification)
  if (!result.ok) return refused(result.reason, verification)
  const { caller, claims, proof } = result
  return { bundle, caller, claims, ...(proof && { proof: claimOf(proof) }) }
}

/** Whose tokens are taken: those that the bundle registers, and the Worker's own. */
export const issuersOf = async (c: Context<AppEnv>, bundle: LoadedBundle): Promise<readonly Issuer[]> => [
  await ownIssuer(c.env, identifierOf(c.get('place').tenant, c.env)),
  ...bundle.settings.issuers,
]

type CallVerification = Verification & { call: NonNullable<Verification['call']> }

/** What any token of this call is judged against. */
export const verificationOf = (c: Context<AppEnv>, bundle: LoadedBundle): CallVerification => {
  const place = c.get('place')
  const now = c.get('now')
  const parts = c.get('parts')
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
      get url() {
        return c.env.ORIGIN + new URL(c.req.url).pathname
      },
      proof: c.req.header('dpop'),
      nonces: noncesOf(c.env.SIGNING_KEYS, identifier, now),
    },
  }
}

export const sourceIo = (c: Context<AppEnv>): SourceIo => ({
  kv: c.env.BUNDLES,
  now: c.get('now'),
  waitUntil: work => c.executionCtx.waitUntil(work),
  local: c.env.LOCAL === 'true',
  report: text => console.warn(text),
})

/** A proof as objects remember it. */
export const claimOf = ({ jkt, jti, iat }: Proof): ProofClaim => ({
  id: sha256(JSON.stringify([jkt, jti])),
  call: crypto.randomUUID(),
  // As long as any issuer's skew lets it pass, and as long again for an object whose clock is behind.
  until: (iat + 2 * (PROOF_AGE + MAX_SKEW)) * 1000,
})

/** The most that an issuer's entry may say, in seconds. */
const MAX_SKEW = 120

/** One more call than a decision needs: admins, auditors and PEPs have no object of their own to remember their proofs. */
const claimed = (c: Context<AppEnv>, { jkt = '' }: Caller, proof: ProofClaim): Promise<boolean> =>
  c.env.AGENT.getByName(nameOf('proofs', c.get('place').tenant, jkt)).claim(proof)

/** Whether anything was taken away that an authority comes from. */
export const takenFrom = async (
  c: Context<AppEnv>,
  lineage: Lineage | undefined,
  { settings: { privacy } }: LoadedBundle,
): Promise<'no' | 'yes' | 'unknown'> => {
  // An agent that acts for itself alone has only its own object to ask, and that is asked anyway.
  if (!lineage || lineage.keys.length === 1) return 'no'
  const blinding = { privacy, vault: vaultOf(c.env, c.var.place.tenant, c.var.now) }
  const named = await withStored(lineage, blinding).catch(() => undefined)
  if (!named) return 'unknown'
  const { waitUntil, report } = sourceIo(c)
  const io = { tenant: c.get('place').tenant, db: c.env.DB, now: c.get('now'), waitUntil, ...(report && { report }) }
  return c.get('parts').revocations.taken(lineage, io)
}

const refused = (reason: Unauthenticated['reason'], { call }: CallVerification): Response => {
  const answer = problem(refusalFor(reason))
  if (reason === 'use_dpop_nonce') answer.headers.set('dpop-nonce', call.nonces.current)
  return answer
}

const refusalFor = (reason: Unauthenticated['reason']): Refusal =>
  reason === 'issuer_unavailable' ? refusal(503, reason, { retryAfter: 10 }) : refusal(401, reason)

const unavailable = (_c: Context<AppEnv>, reason: 'no_policy' | 'bundle_stale'): Response =>
  problem(refusal(reason === 'no_policy' ? 404 : 503, reason))

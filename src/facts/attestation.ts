import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import { Claims, checkTimes, meantFor } from '../identity/claims.ts'
import { own } from '../identity/jws.ts'
import { type TokenObjection, type Trust, verifyToken } from '../identity/token.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { sourceOf } from './source.ts'
import { read, Statement } from './statement.ts'
import type { Fact } from './verdict.ts'

/** What an attestation is judged against. */
export type Judged = {
  /** Whose word counts here: the tenant, and where keys come from. */
  trust: Trust
  bundle: LoadedBundle
  /** The agent that presents it; nobody, where claims are held against facts apart from any action. */
  agent?: EntityUid
  /** Milliseconds. */
  now: number
}

/** Why an attestation counts for nothing. */
export type Refused = { refused: Refusal; pointer?: string }
type Refusal =
  | TokenObjection
  | 'not_a_source'
  | 'audience'
  | 'other_agent'
  | 'out_of_scope'
  | 'undeclared'
  | 'mistyped'
  | NonNullable<ReturnType<typeof checkTimes>>

export const MAX_ATTESTATIONS = 8
export const MAX_ATTESTATION_CHARS = 16 * 1024

const Attestation = v.looseObject({
  iss: Claims.entries.iss,
  sub: v.optional(Claims.entries.sub),
  aud: Claims.entries.aud,
  exp: Claims.entries.exp,
  iat: Claims.entries.iat,
  nbf: Claims.entries.nbf,
  /** Names it, and with the place in it each fact. */
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  /** The one agent that may present it; without it any may. */
  agent: v.optional(v.strictObject({ type: v.string(), id: v.string() })),
  facts: v.pipe(v.array(Statement), v.minLength(1), v.maxLength(64)),
})

/**
 * Verifies what a source signed for agents to carry (JWS, RFC 7515): it is as good as the ledger while it lasts, and
 * costs no lookup. All of it counts or none of it.
 */
export const attested = async (text: string, judged: Judged): Promise<Fact[] | Refused> => {
  const { bundle, trust, now, agent } = judged
  if (text.length > MAX_ATTESTATION_CHARS) return { refused: 'malformed' }
  const verified = await verifyToken(text, 'attestation', bundle.issuers, trust)
  if (typeof verified === 'string') return { refused: verified }
  const { payload, issuer } = verified
  const parsed = v.safeParse(Attestation, payload)
  if (!parsed.success) return { refused: 'malformed', pointer: pointerTo(parsed.issues[0]) }
  const claims = parsed.output
  const source = sourceOf(issuer, claims.sub, own(payload, 'source'), bundle.facts)
  if (!source) return { refused: 'not_a_source' }
  // An entry's own audiences are for the tokens of its callers: what agents carry names the tenant.
  if (!meantFor(claims, {}, trust.tenant)) return { refused: 'audience' }
  const untimely = checkTimes(claims, issuer, now)
  if (untimely) return { refused: untimely }
  if (claims.agent && agent && (claims.agent.type !== agent.type || claims.agent.id !== agent.id))
    return { refused: 'other_agent' }

  const facts: Fact[] = []
  for (const [index, statement] of claims.facts.entries()) {
    const stated = read(statement, source, bundle, now)
    if ('code' in stated) return { refused: stated.code, pointer: `/facts/${index}${stated.pointer}` }
    const validUntil = Math.min(stated.validUntil, Math.floor(claims.exp * 1000))
    facts.push({ ...stated, validUntil, id: `${source.id}:${claims.jti}/${index}`, from: 'attestation' })
  }
  return facts
}

const pointerTo = (issue: v.BaseIssue<unknown>): string =>
  (issue.path ?? []).map(({ key }) => `/${String(key)}`).join('')

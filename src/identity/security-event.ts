import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import type { Issuer } from '../policy/tenant.ts'
import { meantFor } from './claims.ts'
import { mapName } from './mapping.ts'
import { type Trust, verifyToken } from './token.ts'

/** What a Security Event Token (RFC 8417) takes away: what was issued to these until a time. */
export type SecurityEvent = {
  /** The transmitter's entry. */
  issuer: string
  /** The issuer's name for it: one that comes again is the same. */
  id: string
  taken: {
    uid: EntityUid
    /** By which rule of the issuer's entry it is that one. */
    as: 'agent' | 'user'
    event: string
    /** Milliseconds. */
    before: number
    admitted: boolean
  }[]
}

/** RFC 8935, 2.4. */
export type EventObjection = 'invalid_request' | 'invalid_key' | 'invalid_issuer' | 'invalid_audience' | 'access_denied'

/** Reads a token that a registered transmitter pushed. Events that mean nothing here take nothing away. */
export const readSecurityEvent = async (
  token: string,
  issuers: readonly Issuer[],
  trust: Trust & { now: number },
): Promise<SecurityEvent | EventObjection> => {
  const verified = await verifyToken(token, 'security-event', issuers, trust)
  if (typeof verified === 'string') return OBJECTIONS[verified] ?? 'invalid_request'
  const { payload, issuer } = verified
  if (!issuer.events) return 'access_denied'
  const parsed = v.safeParse(Claims, payload)
  if (!parsed.success) return 'invalid_request'
  const { aud, iat, jti, events, sub_id } = parsed.output
  if (!meantFor({ aud }, issuer, trust.tenant)) return 'invalid_audience'
  if (trust.now / 1000 < iat - issuer.skew) return 'invalid_request'
  const about = issuers.filter(({ id }) => (issuer.events?.about ?? [issuer.id]).includes(id))
  const taken: SecurityEvent['taken'] = []
  for (const [event, { subject = sub_id, event_timestamp = iat }] of Object.entries(events)) {
    if (!TAKING.has(event)) continue
    const uids = subject === undefined ? [] : uidsOf(subject, about, issuer)
    // To accept what nobody can act on would tell the transmitter that it is done.
    if (uids.length === 0) return 'invalid_request'
    // A clock that is ahead must not take away what is issued later.
    const before = Math.min(event_timestamp * 1000, trust.now)
    taken.push(...uids.map(subjectOf => ({ ...subjectOf, event, before })))
  }
  return { issuer: issuer.id, id: jti, taken }
}

const OBJECTIONS: Partial<Record<Exclude<Awaited<ReturnType<typeof verifyToken>>, object>, EventObjection>> = {
  unknown_issuer: 'invalid_issuer',
  unknown_key: 'invalid_key',
  signature: 'invalid_key',
  keys_unavailable: 'invalid_key',
}

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type'
/** CAEP, 3.1 and 3.3: the session, or what it was opened with, counts no more. */
const TAKING = new Set([`${CAEP}/session-revoked`, `${CAEP}/credential-change`])

const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(256))
/** RFC 9493; SSF's complex subjects name their user among others. */
const Simple = v.variant('format', [
  v.object({ format: v.literal('iss_sub'), iss: v.string(), sub: Name }),
  v.object({ format: v.literal('opaque'), id: Name }),
])
const Subject = v.union([Simple, v.object({ format: v.literal('complex'), user: Simple })])
type Subject = v.InferOutput<typeof Subject>

const Claims = v.looseObject({
  iss: v.string(),
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  iat: v.pipe(v.number(), v.minValue(0)),
  aud: v.union([v.string(), v.array(v.string())]),
  sub_id: v.optional(Subject),
  events: v.record(
    v.string(),
    v.looseObject({ subject: v.optional(Subject), event_timestamp: v.optional(v.pipe(v.number(), v.minValue(0))) }),
  ),
})

/** Everyone that the subject may be by the rules of the issuers that the transmitter may speak about. */
const uidsOf = (
  subject: Subject,
  about: readonly Issuer[],
  transmitter: Issuer,
): Pick<SecurityEvent['taken'][number], 'uid' | 'as' | 'admitted'>[] => {
  const { iss, sub } = nameOf(subject.format === 'complex' ? subject.user : subject, transmitter)
  const entry = about.find(issuer => issuer.iss === iss)
  return (['agent', 'user'] as const).flatMap(as => {
    const rule = entry?.[as]
    const uid = rule && mapName(rule, sub)
    return uid ? [{ uid, as, admitted: rule.admit === 'all' }] : []
  })
}

const nameOf = (subject: v.InferOutput<typeof Simple>, { iss }: Issuer): { iss: string; sub: string } =>
  subject.format === 'iss_sub' ? subject : { iss, sub: subject.id }

import * as v from 'valibot'
import { callOut, type OutgoingLimits, type OutgoingReply, type OutgoingRules } from '../outgoing/fetch.ts'
import type { Issuer } from '../policy/tenant.ts'
import { readObject } from './jws.ts'

/** Keys as their issuer serves them (RFC 7517), not looked at yet. */
export type ServedKeys = readonly Record<string, unknown>[]

export const MAX_KEYS = 32

/** Where an issuer's keys are, if they don't stand in its entry. */
export const keyLocation = ({
  iss,
  jwks_uri,
  discovery,
}: Issuer): { keys: string } | { metadata: string } | undefined => {
  if (jwks_uri !== undefined) return { keys: jwks_uri }
  return discovery && { metadata: metadataUrl(iss, discovery) }
}

/** The issuer's key set from its URL, or a sentence that says why there is none. */
export const fetchKeys = async (
  issuer: Issuer,
  rules: OutgoingRules,
  limits?: OutgoingLimits,
): Promise<ServedKeys | string> => {
  const location = keyLocation(issuer)
  if (!location) return 'the entry names no URL'
  const url = 'keys' in location ? location.keys : await discover(issuer, location.metadata, rules, limits)
  if (typeof url !== 'string') return url.problem
  const json = jsonOf(await callOut(url, ACCEPT, rules, limits))
  if (typeof json === 'string') return `${url}: ${json}`
  const set = v.safeParse(KeySet, json)
  return set.success ? set.output.keys : `${url}: not a key set of at most ${MAX_KEYS} keys`
}

const KeySet = v.object({ keys: v.pipe(v.array(v.record(v.string(), v.unknown())), v.maxLength(MAX_KEYS)) })
const Metadata = v.object({ issuer: v.string(), jwks_uri: v.string() })
const ACCEPT = { headers: { accept: 'application/json' } }

/**
 * OpenID Connect Discovery 1.0, section 4, puts the well-known part behind the issuer's path; RFC 8414, section 3, puts
 * it before.
 */
const metadataUrl = (iss: string, kind: NonNullable<Issuer['discovery']>): string => {
  if (kind === 'openid') return `${iss.replace(/\/$/, '')}/.well-known/openid-configuration`
  if (!URL.canParse(iss)) return iss
  const { origin, pathname } = new URL(iss)
  return `${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`
}

/** RFC 8414, 3.3: metadata that speaks of another issuer must not be used. */
const discover = async (
  { iss }: Issuer,
  url: string,
  rules: OutgoingRules,
  limits: OutgoingLimits | undefined,
): Promise<string | { problem: string }> => {
  const json = jsonOf(await callOut(url, ACCEPT, rules, limits))
  if (typeof json === 'string') return { problem: `${url}: ${json}` }
  const metadata = v.safeParse(Metadata, json)
  if (!metadata.success) return { problem: `${url}: not an issuer's metadata` }
  if (metadata.output.issuer !== iss) return { problem: `${url}: metadata of another issuer` }
  return metadata.output.jwks_uri
}

const jsonOf = (reply: OutgoingReply): Record<string, unknown> | string => {
  if (!reply.ok) return reply.problem
  if (reply.status !== 200) return `status ${reply.status}`
  return readObject(reply.body) ?? 'not a JSON object'
}

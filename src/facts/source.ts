import type { Issuer } from '../policy/tenant.ts'
import type { LoadedFacts, Source } from './load.ts'

/**
 * The source that a verified token or attestation speaks for: the issuer's entry says which, by its subject or for all of
 * them. A development issuer's own claim names it outright.
 */
export const sourceOf = (
  issuer: Pick<Issuer, 'source' | 'development' | 'roles'>,
  sub: string | undefined,
  claimed: unknown,
  { sources }: Pick<LoadedFacts, 'sources'>,
): Source | undefined => {
  if (!issuer.roles.allowed.includes('source')) return undefined
  const id = sourceIdOf(issuer, sub, claimed)
  return id === undefined ? undefined : sources.get(id)
}

export const sourceIdOf = (
  { source, development }: Pick<Issuer, 'source' | 'development'>,
  sub: string | undefined,
  claimed: unknown,
): string | undefined => {
  if (development) return typeof claimed === 'string' ? claimed : undefined
  if (source === undefined || typeof source === 'string') return source
  return sub !== undefined && Object.hasOwn(source.ids, sub) ? source.ids[sub] : undefined
}

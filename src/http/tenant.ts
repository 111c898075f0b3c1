import * as v from 'valibot'
import { reserved, TenantName } from '../policy/tenant.ts'

/** Which tenant a URL speaks of, the path that is left (rule 7: the URL alone says), and the URL before that path. */
export type Place = { tenant: string; path: string; base: string }

const METADATA = '/.well-known/authzen-configuration'

/** First path parts that serve the tenant that the configuration names. */
const ROOTS = new Set(['', '.well-known', 'openapi.json', ...reserved])

/**
 * Root paths serve the configured tenant; any other first part names one. AuthZEN puts a tenant's metadata behind the
 * well-known part (Authorization API 1.0, Obtaining Policy Decision Point Metadata).
 */
export const placeOf = (url: string, env: { ORIGIN: string; DEFAULT_TENANT: string }): Place | undefined => {
  const { pathname } = new URL(url)
  const metadata = pathname.startsWith(`${METADATA}/`) ? pathname.slice(METADATA.length + 1) : undefined
  if (metadata !== undefined) return named(metadata, METADATA, env)
  const end = pathname.indexOf('/', 1)
  const first = end < 0 ? pathname.slice(1) : pathname.slice(1, end)
  if (ROOTS.has(first)) return { tenant: env.DEFAULT_TENANT, path: pathname, base: env.ORIGIN }
  return named(first, end < 0 ? '/' : pathname.slice(end), env)
}

/** A tenant's identifier: the audience of tokens for it, and the issuer of its permits. */
export const identifierOf = (tenant: string, { ORIGIN }: { ORIGIN: string }): string => `${ORIGIN}/${tenant}`

const named = (tenant: string, path: string, env: { ORIGIN: string }): Place | undefined =>
  v.is(TenantName, tenant) ? { tenant, path, base: identifierOf(tenant, env) } : undefined

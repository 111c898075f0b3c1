/** Longest token that is looked at, in characters. What is longer is refused before anything is parsed. */
export const MAX_TOKEN = 8 * 1024

export type Bearer =
  | { kind: 'token'; scheme: 'bearer' | 'dpop'; token: string }
  /** No credentials of these schemes. */
  | { kind: 'none' }
  | { kind: 'refused'; detail: 'oversized' | 'malformed' }

/**
 * Reads one token from an `Authorization` header (RFC 6750, 2.1; RFC 9449, 7.1; the scheme's case doesn't matter,
 * RFC 9110, 11.1). Two headers arrive joined by a comma, and a comma has no place in a token.
 */
export const bearer = (authorization: string | undefined): Bearer => {
  if (authorization === undefined || authorization === '') return { kind: 'none' }
  if (authorization.length > MAX_TOKEN + 'Bearer '.length) return { kind: 'refused', detail: 'oversized' }
  const space = authorization.indexOf(' ')
  const name = (space < 0 ? authorization : authorization.slice(0, space)).toLowerCase()
  const scheme = SCHEMES.find(known => known === name)
  if (!scheme) return { kind: 'none' }
  const token = space < 0 ? '' : authorization.slice(space + 1)
  return COMPACT.test(token) ? { kind: 'token', scheme, token } : { kind: 'refused', detail: 'malformed' }
}

const SCHEMES = ['bearer', 'dpop'] as const

/** A JWS in compact form with nothing empty: three base64url parts, no padding, no white space. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

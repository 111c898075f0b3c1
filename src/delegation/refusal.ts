import type { Reason } from '../decision/reasons.ts'

/** RFC 6749, 5.2; RFC 8693, 2.2.2; RFC 9396, 5; RFC 9449, 5 and 8. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'unsupported_grant_type'
  | 'slow_down'
  | 'temporarily_unavailable'

/** Why no token was minted: in OAuth's words, and by our own reason. */
export type OAuthRefusal = {
  error: OAuthError
  reason: Reason
  detail?: string
  /** Whole seconds. */
  retryAfter?: number
}

export const oauthRefusal = (
  error: OAuthError,
  reason: Reason,
  detail?: string,
  retryAfter?: number,
): OAuthRefusal => ({
  error,
  reason,
  ...(detail !== undefined && { detail }),
  ...(retryAfter !== undefined && { retryAfter }),
})

export const isOAuthRefusal = (value: object): value is OAuthRefusal => 'error' in value && 'reason' in value

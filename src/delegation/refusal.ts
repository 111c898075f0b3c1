import type { Reason } from '../decision/reasons.ts'
import type { taskOf } from '../escalation/task.ts'

/** RFC 6749, 5.2; RFC 8628, 3.5; RFC 8693, 2.2.2; RFC 9396, 5; RFC 9449, 5 and 8. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'unsupported_grant_type'
  | 'authorization_pending'
  | 'access_denied'
  | 'expired_token'
  | 'slow_down'
  | 'temporarily_unavailable'

/** Why no token was minted: in OAuth's words, and by our own reason. */
export type OAuthRefusal = {
  error: OAuthError
  reason: Reason
  detail?: string
  /** Whole seconds. */
  retryAfter?: number
  /** By which humans are asked, while it is pending. */
  task?: Awaited<ReturnType<typeof taskOf>>['task']
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

/** What an agent's object refused. */
export const refusedBy = ({ reason, retryAfter }: { reason: Reason; retryAfter?: number }): OAuthRefusal =>
  oauthRefusal(ERRORS[reason] ?? 'invalid_grant', reason, undefined, retryAfter)

const ERRORS: Partial<Record<Reason, OAuthError>> = {
  too_many_attempts: 'slow_down',
  too_many_requests: 'slow_down',
  invalid_dpop_proof: 'invalid_dpop_proof',
  approval_denied: 'access_denied',
  approval_cancelled: 'access_denied',
  approval_revoked: 'access_denied',
  approval_timeout: 'expired_token',
  approval_expired: 'expired_token',
}

import { type Reason, reasons } from '../decision/reasons.ts'
import type { Refusal } from '../decision/refusal.ts'
import { proofAlgorithms } from '../identity/dpop.ts'

/** A refusal as problem details (RFC 9457). `reason` is the code to switch on; `type` names it for those who follow links. */
export const problem = ({ status, reason, pointer, detail, retryAfter }: Refusal): Response => {
  const headers = new Headers({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
  if (retryAfter !== undefined) headers.set('retry-after', String(retryAfter))
  // RFC 6750, 3: no hint about what is wrong with a token.
  if (status === 401) headers.set('www-authenticate', challenge(reason))
  const body = {
    type: PROFILE.has(reason)
      ? `urn:openid:authzen:access-request:error:${reason}`
      : `urn:countersign:problem:${reason}`,
    title: reasons[reason],
    status,
    reason,
    ...(detail !== undefined && { detail }),
    ...(pointer !== undefined && { pointer }),
    ...(retryAfter !== undefined && { retry_after: retryAfter }),
  }
  return new Response(JSON.stringify(body), { status, headers })
}

/** RFC 6750, 3; RFC 9449, 7.1 and 9. */
const challenge = (reason: Refusal['reason']): string => {
  if (reason === 'invalid_dpop_proof' || reason === 'use_dpop_nonce')
    return `DPoP error="${reason}", algs="${proofAlgorithms.join(' ')}"`
  return reason === 'invalid_token' ? 'Bearer error="invalid_token"' : 'Bearer'
}

/** The problem types of the Access Request and Approval Profile (Error Responses). */
const PROFILE: ReadonlySet<Reason> = new Set([
  'not_requestable',
  'expired_denial',
  'invalid_denial_binding',
  'duplicate_request',
  'unknown_task',
  'task_expired',
  'invalid_task_state',
])

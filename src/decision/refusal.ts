import type { Reason } from './reasons.ts'

/** Why a call, or one item of a batch, got no decision. Nothing was judged and nothing is on record. */
export type Refusal = {
  status: 400 | 401 | 403 | 404 | 405 | 409 | 410 | 413 | 415 | 422 | 429 | 500 | 503
  reason: Reason
  /** RFC 6901: the place in the body. */
  pointer?: string
  /** What would have been right there. */
  detail?: string
  /** Whole seconds. */
  retryAfter?: number
}

export const refusal = (
  status: Refusal['status'],
  reason: Reason,
  more: Omit<Refusal, 'status' | 'reason'> = {},
): Refusal => ({ status, reason, ...more })

export const isRefusal = (value: object): value is Refusal => 'status' in value && 'reason' in value

import type { Answer } from '../decision/answer.ts'

/**
 * What a decision says of limits, as headers: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers,
 * draft 10), and `Retry-After` where waiting helps. Names are those of policies, to those who may know them.
 */
export const limitHeaders = ({ context: { limit, retry_after } }: Answer): Record<string, string> => {
  const name = JSON.stringify(limit?.policy ?? 'limit')
  const wait = retry_after === undefined ? '' : `;t=${retry_after}`
  return {
    ...(retry_after !== undefined && { 'retry-after': String(retry_after) }),
    ...(limit && {
      'ratelimit-policy': `${name};q=${limit.quota}${limit.window === undefined ? '' : `;w=${limit.window}`}`,
      ratelimit: `${name};r=${limit.remaining}${wait}`,
    }),
  }
}

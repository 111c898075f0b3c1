/** What an outgoing call is judged by. No caller of ours ever names a URL: it stands in the bundle. */
export type OutgoingRules = {
  /** The bundle's allow-list: `host`, or `host:port` where the port isn't 443. */
  hosts: readonly string[]
  /** The Worker runs on a laptop: only then is this machine itself a place to call, still if it is on the list. */
  local: boolean
}

export type UrlProblem = 'not_a_url' | 'not_https' | 'user_info' | 'ip_literal' | 'loopback' | 'host_not_allowed'

export type OutgoingReply =
  | { ok: true; status: number; headers: Headers; body: Uint8Array }
  | { ok: false; problem: UrlProblem | 'redirected' | 'too_large' | 'timed_out' | 'unreachable' }

/** What tests replace, and what a call may use less of. */
export type OutgoingLimits = { fetch?: typeof fetch; deadlineMs?: number; maxBytes?: number }

const DEADLINE_MS = 5_000
const MAX_BYTES = 64 * 1024

/**
 * Makes one call to another host under the rules for outgoing calls: https, a host of the allow-list, no IP literal, no
 * user info, no redirect, an answer of 64 KiB within 5 s. Never throws. An answer of any status is an answer.
 */
export const callOut = async (
  url: string,
  init: Pick<RequestInit, 'method' | 'headers' | 'body'>,
  rules: OutgoingRules,
  { fetch: send = fetch, deadlineMs = DEADLINE_MS, maxBytes = MAX_BYTES }: OutgoingLimits = {},
): Promise<OutgoingReply> => {
  const target = outgoingUrl(url, rules)
  if (typeof target === 'string') return { ok: false, problem: target }
  const signal = AbortSignal.timeout(deadlineMs)
  try {
    const response = await send(target, { ...init, redirect: 'manual', signal })
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel()
      return { ok: false, problem: 'redirected' }
    }
    const body = await bytesOf(response, maxBytes)
    if (!body) return { ok: false, problem: 'too_large' }
    return { ok: true, status: response.status, headers: response.headers, body }
  } catch {
    return { ok: false, problem: signal.aborted ? 'timed_out' : 'unreachable' }
  }
}

/** The URL, if a call may go there; `check` asks this of every URL that a bundle names. */
export const outgoingUrl = (text: string, { hosts, local }: OutgoingRules): URL | UrlProblem => {
  if (!URL.canParse(text)) return 'not_a_url'
  // Parsing writes every spelling of an IPv4 address (hexadecimal, one number) as four decimal parts.
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'user_info'
  const loopback = isLoopback(url.hostname)
  if (loopback && !local) return 'loopback'
  if (url.protocol !== 'https:' && !(loopback && url.protocol === 'http:')) return 'not_https'
  if (!loopback && isIpLiteral(url.hostname)) return 'ip_literal'
  return hosts.includes(url.host) ? url : 'host_not_allowed'
}

const isLoopback = (hostname: string): boolean =>
  /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]' || /^(.+\.)?localhost\.?$/.test(hostname)

const isIpLiteral = (hostname: string): boolean => hostname.startsWith('[') || /^\d+(\.\d+){3}\.?$/.test(hostname)

/** `undefined` where there are more than `max`. A declared length is a promise: what comes is counted. */
const bytesOf = async (response: Response, max: number): Promise<Uint8Array | undefined> => {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop early cancels the stream.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > max) return undefined
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

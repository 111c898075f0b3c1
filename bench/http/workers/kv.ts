/**
 * Stands in for KV: workerd turns a KV binding into HTTP to a service, and here that service holds the few keys that
 * the benchmark pushes. A warm isolate reads its pointer every few seconds, so nothing here is on the hot path.
 */

type Env = { KEYS: Record<string, string> }

export default {
  fetch(request: Request, { KEYS }: Env): Response {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1))
    if (request.method !== 'GET') return new Response('this KV is read-only', { status: 405 })
    const value = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined
    return value === undefined ? new Response(null, { status: 404 }) : new Response(value)
  },
}

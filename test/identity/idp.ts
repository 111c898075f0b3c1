import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { KeyIo } from '../../src/identity/key-sets.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** An identity provider on this machine: a real HTTP server whose answers a test sets, and counts. */
export const startIdp = async () => {
  const state: { answers: Record<string, Answer>; calls: string[] } = { answers: {}, calls: [] }
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    state.calls.push(path)
    const answer = state.answers[path]
    if (answer) answer(request, response)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no port')
  const host = `127.0.0.1:${address.port}`
  return {
    host,
    origin: `http://${host}`,
    state,
    serve: (path: string, json: unknown) => {
      state.answers[path] = (_, response) => response.end(JSON.stringify(json))
    },
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** KV as a map, and what is done after the answer, done when the test asks. */
export const ioOf = (host: string, now: number, kv = new Map<string, string>()) => {
  const later: Promise<unknown>[] = []
  const problems: string[] = []
  const io: KeyIo = {
    tenant: 'acme',
    hosts: [host],
    local: true,
    kv: {
      get: async key => kv.get(key) ?? null,
      put: async (key, value) => {
        kv.set(key, value)
      },
    },
    now,
    waitUntil: work => later.push(work),
    report: problem => problems.push(problem),
  }
  return { io, kv, problems, settle: async () => void (await Promise.all(later.splice(0))) }
}

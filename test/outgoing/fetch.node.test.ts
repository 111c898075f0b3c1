import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { afterAll, describe, expect, it } from 'vitest'
import { callOut, outgoingUrl } from '../../src/outgoing/fetch.ts'

/** A real server on this machine that answers in every way that one can go wrong. */
const answers: Record<string, RequestListener> = {
  '/ok': (_, response) => response.end('fine'),
  '/missing': (_, response) => response.writeHead(404).end('no'),
  '/redirect': (_, response) => response.writeHead(302, { location: '/ok' }).end(),
  '/slow': (_, response) => setTimeout(() => response.end('late'), 2_000).unref(),
  '/dripping': (_, response) => {
    response.write('a')
  },
  '/big': (_, response) => response.end('x'.repeat(70_000)),
  '/endless': (_, response) => {
    const timer = setInterval(() => response.write('x'.repeat(10_000)), 1)
    response.on('close', () => clearInterval(timer))
  },
  '/full': (_, response) => response.end('x'.repeat(64 * 1024)),
  '/broken': (request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half')
    setImmediate(() => request.socket.destroy())
  },
}
const server = createServer((request, response) => {
  const answer = answers[request.url ?? '']
  if (answer) answer(request, response)
  else response.end(request.method)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address()
const port = typeof address === 'object' && address ? address.port : 0
const host = `127.0.0.1:${port}`
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const local = { hosts: [host], local: true }
const call = async (path: string, more = {}) => {
  const reply = await callOut(`http://${host}${path}`, {}, local, { deadlineMs: 400, ...more })
  return reply.ok ? `${reply.status} ${reply.body.byteLength}` : reply.problem
}

describe('an outgoing call', () => {
  it.each([
    ['/ok', '200 4'],
    ['/missing', '404 2'],
    ['/redirect', 'redirected'],
    ['/slow', 'timed_out'],
    ['/dripping', 'timed_out'],
    ['/big', 'too_large'],
    ['/endless', 'too_large'],
    ['/full', '200 65536'],
    ['/broken', 'unreachable'],
  ])('%s: %s', async (path, expected) => {
    expect(await call(path)).toBe(expected)
  })

  it('that nobody answers is a value, not an exception', async () => {
    const nobody = { hosts: ['127.0.0.1:1'], local: true }
    expect(await callOut('http://127.0.0.1:1/', {}, nobody)).toEqual({ ok: false, problem: 'unreachable' })
  })

  it('that the rules refuse is never made', async () => {
    let made = 0
    const send: typeof fetch = async () => {
      made++
      return new Response()
    }
    await callOut('https://elsewhere.example/', {}, { hosts: ['idp.example'], local: false }, { fetch: send })
    expect(made).toBe(0)
  })
})

describe('a URL', () => {
  const rules = { hosts: ['idp.example', 'idp.example:8443', '10.0.0.1', 'localhost', '127.0.0.1:9'], local: false }
  it.each([
    ['https://idp.example/keys', 'idp.example'],
    ['https://IDP.example:443/keys', 'idp.example'],
    ['https://idp.example:8443/keys', 'idp.example:8443'],
    ['https://idp.example:8444/keys', 'host_not_allowed'],
    ['https://idp.example./keys', 'host_not_allowed'],
    ['https://sub.idp.example/keys', 'host_not_allowed'],
    ['https://idp.example.evil.example/keys', 'host_not_allowed'],
    ['https://idp.example@evil.example/keys', 'user_info'],
    ['https://user:pw@idp.example/keys', 'user_info'],
    ['http://idp.example/keys', 'not_https'],
    ['ftp://idp.example/keys', 'not_https'],
    ['https://10.0.0.1/keys', 'ip_literal'],
    ['https://0x0a000001/keys', 'ip_literal'],
    ['https://167772161/keys', 'ip_literal'],
    ['https://[2001:db8::1]/keys', 'ip_literal'],
    ['https://localhost/keys', 'loopback'],
    ['https://a.localhost/keys', 'loopback'],
    ['http://127.0.0.1:9/keys', 'loopback'],
    ['https://0x7f000001/keys', 'loopback'],
    ['https://[::1]/keys', 'loopback'],
    ['/keys', 'not_a_url'],
  ])('%s: %s', (url, expected) => {
    const allowed = outgoingUrl(url, rules)
    expect(typeof allowed === 'string' ? allowed : allowed.host).toBe(expected)
  })

  it('of this machine is one only on a laptop, and only if it is listed', () => {
    expect(outgoingUrl('http://127.0.0.1:9/', { ...rules, local: true })).toBeInstanceOf(URL)
    expect(outgoingUrl('http://127.0.0.1:10/', { ...rules, local: true })).toBe('host_not_allowed')
    expect(outgoingUrl('http://idp.example/', { ...rules, local: true })).toBe('not_https')
  })
})

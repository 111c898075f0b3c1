import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import { forge, pair } from '../identity/tokens.ts'
import { asking, createWorld, problemIn, type Send } from './world.ts'

afterEach(() => clock.reset())

const ISS = 'https://idp.example'
const old = await pair('ES256', 'old')
const next = await pair('ES256', 'next')

/** A Worker of its own whose calls to other hosts a test answers. */
const worker = (answer: (url: string) => Response): { send: Send; calls: string[] } => {
  const calls: string[] = []
  const fetch = async (input: RequestInfo | URL) => {
    calls.push(String(input))
    return answer(String(input))
  }
  const app = createApp({ now: () => clock.now(), source: createSource(), fetch })
  const send: Send = async request => {
    const context = createExecutionContext()
    const response = await app.fetch(request, env, context)
    await waitOnExecutionContext(context)
    return response
  }
  return { send, calls }
}

const world = () =>
  createWorld({
    change: ({ settings }) => {
      settings.outgoing = ['idp.example']
      settings.issuers.push({
        id: 'idp',
        iss: ISS,
        algorithms: ['ES256'],
        jwks_uri: `${ISS}/keys`,
        roles: { allowed: ['agent'], claim: 'roles', default: ['agent'] },
        agent: { type: 'Agent', prefix: '', admit: 'listed' },
        skew: 30,
        max_age: 3_600,
      })
    },
  })

const tokenOf = (identifier: string, key = old) => {
  const now = Math.floor(clock.now() / 1000)
  return forge(key, { iss: ISS, sub: 'clerk', aud: identifier, iat: now, exp: now + 600 })
}

it('an agent’s token is judged by keys from its issuer’s URL, and rotation is followed', async () => {
  let keys = [old]
  const { identifier, evaluate } = await world()
  const { send, calls } = worker(() => Response.json({ keys: keys.map(key => key.public) }))
  expect((await evaluate(asking('read'), { token: await tokenOf(identifier), send })).decision).toBe(true)
  keys = [next]
  clock.advance(11_000)
  expect((await evaluate(asking('read'), { token: await tokenOf(identifier, next), send })).decision).toBe(true)
  expect(calls).toEqual([`${ISS}/keys`, `${ISS}/keys`])
})

it('where the keys can not be had, the call is refused with 503 and not as forged; a new isolate has the last good ones', async () => {
  const { identifier, post, evaluate } = await world()
  const down = worker(() => new Response(null, { status: 500 }))
  const token = await tokenOf(identifier)
  const refused = await post('/access/v1/evaluation', asking('read'), { token, send: down.send })
  expect(refused.headers.get('retry-after')).toBe('10')
  expect(await problemIn(refused)).toMatchObject({ status: 503, reason: 'issuer_unavailable' })

  const up = worker(() => Response.json({ keys: [old.public] }))
  expect((await evaluate(asking('read'), { token, send: up.send })).decision).toBe(true)
  const fresh = worker(() => new Response(null, { status: 500 }))
  expect((await evaluate(asking('read'), { token, send: fresh.send })).decision).toBe(true)
  expect(fresh.calls).toEqual([])
})

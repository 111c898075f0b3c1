import { exports } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { createClient } from '../../src/sdk/index.ts'
import { clock } from '../clock.ts'
import { acting, createDesk, type Desk, refund } from '../escalation/world.ts'
import { calm } from '../outside.ts'

afterEach(() => {
  clock.reset()
  calm()
})

const worker: typeof fetch = (input, init) => exports.default.fetch(new Request(input, init))

const clientOf = (desk: Desk, send = worker) => {
  const sent: string[] = []
  const recording: typeof fetch = async (input, init) => {
    sent.push(String(input))
    return send(input, init)
  }
  return { ...createClient({ url: desk.identifier, token: desk.clerk, fetch: recording }), sent }
}

/** Votes as soon as there is a task. */
const voting = async (desk: Desk, sent: string[], vote: 'approve' | 'reject') => {
  await expect.poll(() => sent.find(url => url.includes('?wait='))).toBeDefined()
  const url = sent.find(one => one.includes('?wait=')) ?? ''
  const task = new URL(url).pathname.split('/').at(-1) ?? ''
  await desk.vote(task, 'fay', { vote })
}

it('what is decided already is settled', async () => {
  const client = clientOf(await createDesk())
  const decision = await client.evaluate(refund(100))
  expect(decision).toMatchObject({ allowed: true, outcome: 'allow' })
  expect((await decision.settled()).permit).toBe(decision.permit)
  expect(client.sent).toHaveLength(1)
})

it('settled() asks a human, waits, and comes back with the permit', async () => {
  const desk = await createDesk()
  const client = clientOf(desk)
  const decision = await client.evaluate(refund(600))
  expect(decision).toMatchObject({ allowed: false, outcome: 'step_up' })
  const [settled] = await Promise.all([decision.settled(), voting(desk, client.sent, 'approve')])
  expect(settled).toMatchObject({ allowed: true, outcome: 'allow', request: { status: 'approved' } })
  expect(settled.permit).toBeDefined()
})

it('a refusal is a denial', async () => {
  const desk = await createDesk()
  const client = clientOf(desk)
  const decision = await client.evaluate(refund(600))
  const [settled] = await Promise.all([decision.settled(), voting(desk, client.sent, 'reject')])
  expect(settled).toMatchObject({ allowed: false, outcome: 'deny', reason: 'approval_denied' })
})

it('answers that get lost are asked for again, and nothing happens twice', async () => {
  const desk = await createDesk()
  let calls = 0
  const lossy: typeof fetch = async (input, init) => {
    const response = await worker(input, init)
    if (++calls % 2 === 1) throw new TypeError('the connection was lost')
    return response
  }
  const client = clientOf(desk, lossy)
  const decision = await client.evaluate(refund(600))
  const [settled] = await Promise.all([decision.settled(), voting(desk, client.sent, 'approve')])
  expect(settled.allowed).toBe(true)
  expect((await desk.receipts()).filter(({ kind }) => kind === 'escalation')).toHaveLength(1)
}, 30_000)

it('a justification that the policy wants is not made up', async () => {
  const desk = await createDesk()
  const client = clientOf(desk)
  const decision = await client.evaluate(acting('ship', 1))
  await expect(decision.settled()).rejects.toThrow('justification')
  const [settled] = await Promise.all([
    decision.settled({ justification: 'the customer waits' }),
    voting(desk, client.sent, 'approve'),
  ])
  expect(settled.allowed).toBe(true)
})

it('the token goes nowhere that a response names', async () => {
  const desk = await createDesk()
  const bent: typeof fetch = async (input, init) => {
    const text = await (await worker(input, init)).text()
    return new Response(text.replace('"endpoint":"https://pdp.example.com', '"endpoint":"https://evil.example'))
  }
  const client = clientOf(desk, bent)
  const decision = await client.evaluate(refund(600))
  await expect(decision.settled()).rejects.toThrow('evil.example')
  expect(client.sent.filter(url => url.includes('evil'))).toEqual([])
})

it('waiting can be given up, and taken up again', async () => {
  const desk = await createDesk()
  const client = clientOf(desk)
  const decision = await client.evaluate(refund(600))
  const stop = new AbortController()
  const first = decision.settled({ signal: stop.signal })
  await expect.poll(() => client.sent.some(url => url.includes('?wait='))).toBe(true)
  stop.abort()
  await expect(first).rejects.toThrow()
  const [settled] = await Promise.all([decision.settled(), voting(desk, client.sent, 'approve')])
  expect(settled.allowed).toBe(true)
})

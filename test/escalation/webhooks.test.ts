import { env } from 'cloudflare:workers'
import { Webhook } from 'standardwebhooks'
import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { calm, outside, type Received } from '../outside.ts'
import { createDesk, type Desk, refund } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
})

const rotate = async (desk: Desk, webhook: string, overlap?: number) => {
  const token = await desk.token({ roles: ['admin'] })
  const response = await desk.post(`/v1/webhooks/${webhook}/secrets`, overlap === undefined ? {} : { overlap }, {
    token,
  })
  expect(response.status).toBe(201)
  return ((await response.json()) as { secret: string }).secret
}

const verifies = (secret: string, { headers, body }: Received): boolean => {
  try {
    new Webhook(secret).verify(body, Object.fromEntries(headers))
    return true
  } catch {
    return false
  }
}

const to = (part: string) => outside.received.filter(({ url }) => url.includes(part))

/** A request whose messages were sent, or tried. */
const sent = async (desk: Desk, part: string, count = 1) => {
  const { task } = await desk.requested(refund(600))
  await desk.later(task, 10)
  await expect.poll(() => to(part).length).toBeGreaterThanOrEqual(count)
  return task
}

it('the standardwebhooks package verifies our signatures, and no one else’s secret does', async () => {
  const desk = await createDesk()
  const secret = await rotate(desk, 'fay')
  await sent(desk, '/fay')
  const [message] = to('/fay')
  if (!message) throw new Error('nothing sent')
  expect(verifies(secret, message)).toBe(true)
  expect(verifies(`whsec_${btoa('x'.repeat(32))}`, message)).toBe(false)
  expect(verifies(secret, { ...message, body: message.body.replace('600', '601') })).toBe(false)
})

it('while a secret takes over, both verify; after that only the new one', async () => {
  const desk = await createDesk()
  const first = await rotate(desk, 'fay')
  const second = await rotate(desk, 'fay', 60)
  await sent(desk, '/fay')
  const [both] = to('/fay')
  if (!both) throw new Error('nothing sent')
  expect([verifies(first, both), verifies(second, both)]).toEqual([true, true])
  expect(both.headers.get('webhook-signature')?.split(' ')).toHaveLength(2)
  clock.advance(61_000)
  await sent(desk, '/fay', 2)
  expect(to('/fay').at(-1)?.headers.get('webhook-signature')?.split(' ')).toHaveLength(1)
})

it('secrets lie sealed in D1, each for its own webhook', async () => {
  const desk = await createDesk()
  const secret = await rotate(desk, 'fay')
  const { results } = await env.DB.prepare('SELECT sealed FROM webhook_secrets WHERE tenant = ?')
    .bind(desk.tenant)
    .all()
  expect(JSON.stringify(results)).not.toContain(secret.slice(6, 20))
  // Moved to another webhook, the ciphertext opens to nothing.
  await env.DB.prepare("UPDATE webhook_secrets SET webhook = 'gateway' WHERE tenant = ?").bind(desk.tenant).run()
  const { task } = await desk.requested(refund(600), { callback: { endpoint: 'https://gateway.example/callbacks' } })
  await desk.vote(task, 'fay')
  await desk.later(task, 10)
  await desk.later(task, 10)
  const state = await desk.stub(task).state()
  expect(to('gateway')).toEqual([])
  expect(state?.deliveries.find(({ event }) => event === 'callback')?.attempts.length).toBeGreaterThan(0)
})

it('a message that fails is sent again, later and later, with the same id and the same text', async () => {
  const desk = await createDesk()
  await rotate(desk, 'fay')
  outside.answer = () => new Response('no', { status: 500 })
  const task = await sent(desk, '/fay')
  outside.answer = () => new Response(null, { status: 204 })
  await desk.later(task, 7_000)
  await expect.poll(() => to('/fay').length).toBe(2)
  const [one, two] = to('/fay')
  expect(two?.headers.get('webhook-id')).toBe(one?.headers.get('webhook-id'))
  expect(two?.body).toBe(one?.body)
  const state = await desk.stub(task).state()
  expect(state?.deliveries.find(({ webhook }) => webhook === 'fay')).toMatchObject({
    status: 'sent',
    attempts: [{ status: 500, error: 'status_500' }, { status: 204 }],
  })
})

it('one that is given up is a dead letter, listed and sent again on demand', async () => {
  const desk = await createDesk()
  await rotate(desk, 'fay')
  outside.answer = () => new Response(null, { status: 410 })
  const task = await sent(desk, '/fay')
  const admin = await desk.token({ roles: ['admin'] })
  const dead = async () => {
    const response = await desk.send('GET', '/v1/webhooks/deliveries?status=dead', undefined, { token: admin })
    return ((await response.json()) as { deliveries: { id: string; webhook: string; task: string }[] }).deliveries
  }
  await desk.later(task, 100)
  await expect.poll(async () => (await dead()).map(({ webhook }) => webhook)).toContain('fay')
  const letter = (await dead()).find(({ webhook }) => webhook === 'fay')
  outside.answer = () => new Response(null, { status: 200 })
  const replayed = await desk.post(`/v1/webhooks/deliveries/${letter?.id}/replay`, { task }, { token: admin })
  expect(await replayed.json()).toEqual({ replayed: true })
  await desk.later(task, 100)
  await expect.poll(() => to('/fay').length).toBe(2)
  expect(to('/fay').at(-1)?.headers.get('webhook-id')).toBe(letter?.id)
})

it.each([
  [
    'a redirect',
    () => new Response(null, { status: 302, headers: { location: 'https://evil.example/' } }),
    'redirected',
  ],
  ['a long answer', () => new Response('x'.repeat(20_000)), 'too_large'],
])('%s is a failure', async (_, answer, error) => {
  const desk = await createDesk()
  await rotate(desk, 'fay')
  outside.answer = answer
  const task = await sent(desk, '/fay')
  await expect
    .poll(async () => (await desk.stub(task).state())?.deliveries.find(({ webhook }) => webhook === 'fay')?.attempts[0])
    .toMatchObject({ error })
  expect(to('evil')).toEqual([])
})

it('a receiver that must know us is sent nothing before there is a secret', async () => {
  const desk = await createDesk()
  const task = await sent(desk, 'slack')
  await expect
    .poll(async () => (await desk.stub(task).state())?.deliveries.find(({ webhook }) => webhook === 'fay')?.attempts[0])
    .toMatchObject({ error: 'no_secret' })
  expect(to('/fay')).toEqual([])
})

it('Slack gets blocks of plain text, and what agents write stays text there', async () => {
  const desk = await createDesk()
  const ask = refund(600)
  ask.action.properties = { amount: 600, note: '<!channel> *Approved by finance* https://evil.example' } as never
  const { task } = await desk.requested(ask)
  await desk.later(task, 10)
  await expect.poll(() => to('slack').length).toBe(1)
  const { blocks } = JSON.parse(to('slack')[0]?.body ?? '')
  const texts = JSON.stringify(blocks)
  expect(texts).toContain('<!channel>')
  expect(texts).not.toContain('mrkdwn')
  expect(blocks.at(-1).elements[0].url).toMatch(new RegExp(`^${desk.identifier}/approvals/`))
})

it('a channel’s link speaks for nobody, a person’s for that person', async () => {
  const desk = await createDesk()
  await rotate(desk, 'fay')
  await sent(desk, '/fay')
  await expect.poll(() => to('slack').length).toBe(1)
  const claimsIn = (url: string) => {
    const [, payload = ''] = (url.split('/').at(-1) ?? '').split('.')
    return JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
  }
  expect(claimsIn(JSON.parse(to('/fay')[0]?.body ?? '').data.link)).toMatchObject({ approver: { id: 'fay' } })
  const slack = JSON.parse(to('slack')[0]?.body ?? '').blocks.at(-1).elements[0].url
  expect(claimsIn(slack).approver).toBeUndefined()
})

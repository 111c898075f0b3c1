import { env, exports } from 'cloudflare:workers'
import * as v from 'valibot'
import { afterEach, expect, it } from 'vitest'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import { clock } from '../clock.ts'
import { calm, outside } from '../outside.ts'
import { acting, createDesk, type Desk, withApproval } from './world.ts'

/** What an approver is shown of the facts, and how far an approval rests upon them. */

afterEach(() => {
  clock.reset()
  calm()
})

const at = (ms: number) => new Date(clock.now() + ms).toISOString()

const state = async (desk: Desk, source: string, predicate: string, value: unknown, more = {}) => {
  const fact = { entity: { type: 'Order', id: '7' }, predicate, value, observed_at: at(-60_000), ...more }
  const token = await desk.token({ sub: source, roles: ['source'], source })
  const response = await desk.post('/v1/facts', { facts: [fact] }, { token })
  expect(await response.json()).toMatchObject({ facts: [{ status: 'recorded' }] })
}

const credit = (claimed?: number, name = 'credit') =>
  acting(name, 600, { ...(claimed !== undefined && { context: { claims: { orderTotal: claimed } } }) })

/** The link that fay's message would carry. */
const linkTo = async (desk: Desk, task: string) =>
  linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: 'fay' } },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 8 * 3_600_000 },
  )

const look = async (desk: Desk, link: string) => {
  const html = await (await desk.send('GET', link, undefined)).text()
  const [, facts = ''] = /<section aria-labelledby="facts">([\s\S]*?)<\/section>/.exec(html) ?? []
  const text = facts.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ')
  const [, shown = ''] = /name="shown" value="([^"]+)"/.exec(html) ?? []
  return { html, text, shown }
}

const answer = async (link: string, form: Record<string, string>) => {
  const body = new URLSearchParams(form).toString()
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
  const response = await exports.default.fetch(new Request(link, { method: 'POST', body, headers, redirect: 'manual' }))
  return { status: response.status, html: await response.text() }
}

const Seen = v.looseObject({
  digest: v.string(),
  facts: v.array(v.looseObject({ name: v.string(), status: v.string() })),
  facts_now: v.array(v.looseObject({ name: v.string(), status: v.string() })),
  votes: v.array(v.looseObject({ approver: v.string() })),
})
const seen = async (desk: Desk, task: string) => {
  const token = await desk.approver('fay')
  return v.parse(Seen, await (await desk.send('GET', `/v1/escalations/${task}`, undefined, { token })).json())
}

it('shows of each fact value, source, times and status, and of a contradicted claim both what is said', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90, { evidence: 'https://orders.example/7' })
  await state(desk, 'orders', 'remark', 'parcel is back', { observed_at: at(-7_200_000), valid_until: at(-1) })
  const { task } = await desk.requested(credit(900))
  const { text } = await look(desk, await linkTo(desk, task))
  const day = at(-60_000).slice(0, 16).replace('T', ' ')
  const until = at(3_540_000).slice(0, 16).replace('T', ' ')
  expect(text).toContain('orderTotal of Order::&quot;7&quot; : contradicted')
  expect(text).toContain('The agent says 900')
  expect(text).toContain(`Source orders says 90 Observed ${day} UTC , valid until ${until} UTC .`)
  expect(text).toContain('Evidence: https://orders.example/7')
  expect(text).toContain('remark of Order::&quot;7&quot; : stale')
  expect(text).toContain('chargeback of Order::&quot;7&quot; : missing')
  expect((await seen(desk, task)).facts.map(({ name, status }) => [name, status])).toEqual([
    ['chargeback', 'unsupported'],
    ['orderTotal', 'contradicted'],
    ['remark', 'stale'],
  ])
})

it('a claim that holds is verified, and sources that disagree are shown against each other', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const first = await desk.requested(credit(90))
  expect((await look(desk, await linkTo(desk, first.task))).text).toContain(': verified')
  await state(desk, 'mirror', 'total', 91)
  const { task } = await desk.requested(credit(90))
  const { text } = await look(desk, await linkTo(desk, task))
  expect(text).toMatch(/: disputed .*Source \w+ says 9[01] .*Source \w+ says 9[01] /)
})

it('the message says it too, what speaks against the agent first', async () => {
  const desk = await createDesk()
  await desk.post('/v1/webhooks/fay/secrets', {}, { token: await desk.token({ roles: ['admin'] }) })
  await state(desk, 'orders', 'total', 90)
  await state(desk, 'orders', 'remark', `\u202e${'x'.repeat(5_000)}`)
  const { task } = await desk.requested(credit(900))
  await desk.later(task, 10)
  // messages of other desks may still be on their way
  const bodyTo = (host: string) =>
    outside.received.find(({ url, body }) => url.includes(host) && body.includes(desk.tenant))?.body ?? ''
  await expect.poll(() => [bodyTo('people'), bodyTo('slack')].every(body => body !== '')).toBe(true)
  const json = bodyTo('people')
  const { facts } = JSON.parse(json).data
  expect(facts[0]).toMatchObject({
    name: 'orderTotal',
    status: 'contradicted',
    agent_says: '900',
    sources_say: [{ source: 'orders', value: '90' }],
  })
  expect(json).not.toContain('\u202e')
  expect(json.length).toBeLessThan(4_000)
  expect(bodyTo('slack')).toContain('orderTotal: contradicted; the agent says 900; orders says 90')
})

it('what changes between opening and answering is shown before an approval is taken', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const { task } = await desk.requested(credit(90))
  const link = await linkTo(desk, task)
  const { shown, text } = await look(desk, link)
  expect(text).not.toContain('Changed since')
  clock.advance(5_000)
  await state(desk, 'orders', 'total', 5_000)
  const refused = await answer(link, { vote: 'approve', shown })
  expect(refused.status).toBe(409)
  expect(refused.html).toContain('no longer what the approver was shown')
  expect(refused.html).toMatch(/Changed since the agent asked: now\s*<strong>contradicted/)
  expect(refused.html).toContain('5000')
  expect((await desk.status(task)).task.status).toBe('pending')
  const now = await look(desk, link)
  expect((await answer(link, { vote: 'approve', shown: now.shown })).status).toBe(303)
  expect((await desk.status(task)).task.status).toBe('approved')
})

it('a refusal needs no second look, and a source that looked again and says the same changes nothing', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const first = await desk.requested(credit(90))
  const link = await linkTo(desk, first.task)
  const { shown } = await look(desk, link)
  clock.advance(120_000)
  await state(desk, 'orders', 'total', 90)
  expect((await look(desk, link)).shown).toBe(shown)
  await state(desk, 'bank', 'chargeback', true)
  expect((await answer(link, { vote: 'reject', reason: 'no', shown })).status).toBe(303)
})

it('an approval passes on the facts that it was given on, and on no others', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const { approval, ask } = await desk.approved(credit(90))
  clock.advance(5_000)
  await state(desk, 'orders', 'total', 5_000)
  const changed = await desk.evaluate(withApproval(ask, approval))
  expect(changed).toMatchObject({ decision: false, context: { reason: 'facts_changed', next_action: 'request' } })
  const claiming = withApproval(credit(5_000), approval)
  expect((await desk.evaluate(claiming)).context.reason).toBe('facts_changed')
  clock.advance(5_000)
  await state(desk, 'orders', 'total', 90)
  expect((await desk.evaluate(withApproval(ask, approval))).decision).toBe(true)
})

it('two who approve together must have been shown the same', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const { task } = await desk.requested(credit(undefined, 'creditTwo'))
  expect((await desk.vote(task, 'fay')).status).toBe(200)
  clock.advance(5_000)
  await state(desk, 'orders', 'total', 5_000)
  const second = await desk.vote(task, 'finn')
  expect([second.status, v.parse(v.looseObject({ reason: v.string() }), await second.json()).reason]).toEqual([
    409,
    'facts_changed',
  ])
  clock.advance(5_000)
  await state(desk, 'orders', 'total', 90)
  expect((await desk.vote(task, 'finn')).status).toBe(200)
  expect((await desk.status(task)).task.status).toBe('approved')
})

it('what each was shown is on the receipt of the answer', async () => {
  const desk = await createDesk()
  await state(desk, 'orders', 'total', 90)
  const { task } = await desk.requested(credit(900))
  const { digest } = await seen(desk, task)
  const wrong = await desk.vote(task, 'fay', { vote: 'approve', shown: 'x'.repeat(43) })
  expect(wrong.status).toBe(409)
  expect((await desk.vote(task, 'fay', { vote: 'approve', shown: digest })).status).toBe(200)
  const receipt = (await desk.receipts()).find(({ kind }) => kind === 'escalation')
  const { answers } = JSON.parse(receipt?.secrets ?? '{}')
  expect(answers.value).toMatchObject([{ approver: 'User::"fay"', shown: digest }])
  expect(answers.value[0].facts.map(({ name }: { name: string }) => name)).toEqual([
    'chargeback',
    'orderTotal',
    'remark',
  ])
})

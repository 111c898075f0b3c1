import { env, exports } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, type Desk, refund } from './world.ts'

/** Requests like each other, answered on one page: each shown exactly, each answered by itself. */

afterEach(() => {
  clock.reset()
  calm()
})

const linkTo = async (desk: Desk, task: string, approver = 'fay') =>
  linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: approver } },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 3_600_000 },
  )

/** Requests that wait, and that D1 has heard of. */
const waiting = async (desk: Desk, amounts: number[], of = refund) => {
  const tasks: string[] = []
  for (const amount of amounts) {
    const { task } = await desk.requested(of(amount))
    await desk.later(task, 10)
    tasks.push(task)
  }
  return tasks
}

const look = async (desk: Desk, link: string, headers: Record<string, string> = {}) =>
  (await desk.send('GET', `${link}/like`, undefined, { headers })).text()

const shownIn = (html: string, task: string) => new RegExp(`name="shown:${task}" value="([^"]+)"`).exec(html)?.[1] ?? ''

const send = async (link: string, form: Record<string, string>, more: Record<string, string> = {}) => {
  const body = new URLSearchParams(form).toString()
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(body.length),
    ...more,
  }
  const request = new Request(`${link}/like`, { method: 'POST', body, headers, redirect: 'manual' })
  const response = await exports.default.fetch(request)
  return { status: response.status, html: await response.text() }
}

/** The form as it was shown, with these answers. */
const filled = (html: string, votes: [task: string, vote: string][]) =>
  Object.fromEntries(
    votes.flatMap(([task, vote]) => [
      [`vote:${task}`, vote],
      [`shown:${task}`, shownIn(html, task)],
    ]),
  )

const statuses = (desk: Desk, tasks: string[]) =>
  Promise.all(tasks.map(async task => (await desk.status(task)).task.status))

it('several are answered at once, each as it was answered, and what is left alone waits', async () => {
  const desk = await createDesk()
  const [a = '', b = '', c = '', d = ''] = await waiting(desk, [601, 602, 603, 604])
  const link = await linkTo(desk, a)
  expect(await (await desk.send('GET', link, undefined)).text()).toContain('together with 3 more like it')
  const html = await look(desk, link)
  for (const amount of [601, 602, 603, 604]) expect(html).toContain(`&quot;amount&quot;: ${amount}`)
  const answers = filled(html, [
    [a, 'approve'],
    [b, 'reject'],
    [c, ''],
    [d, 'approve'],
  ])
  const { status, html: told } = await send(link, { ...answers, reason: 'seen' })
  expect(status).toBe(200)
  expect(told).toMatch(/Approved[\s\S]*Rejected[\s\S]*Approved/)
  expect(await statuses(desk, [a, b, c, d])).toEqual(['approved', 'denied', 'pending', 'approved'])
  const approvals = await Promise.all([a, d].map(async task => (await desk.status(task)).result?.approval.id))
  expect(new Set(approvals).size).toBe(2)
  // Each approval is for its own action alone.
  const { result } = await desk.status(d)
  const other = await desk.evaluate(refund(601, { context: { approval: result?.approval } }))
  expect(other.context.reason).toBe('approval_mismatch')
})

it('one that fails loses no other, and is told with its reason', async () => {
  const desk = await createDesk()
  const [a = '', b = '', c = ''] = await waiting(desk, [601, 602, 603])
  const link = await linkTo(desk, a)
  const html = await look(desk, link)
  await desk.vote(b, 'finn', { vote: 'reject' })
  const stale = {
    ...filled(html, [
      [a, 'approve'],
      [b, 'approve'],
      [c, 'approve'],
    ]),
    [`shown:${c}`]: 'something else',
  }
  const { status, html: told } = await send(link, stale)
  expect(status).toBe(409)
  expect(told).toContain('not taken')
  expect(told).toContain('no longer what the approver was shown')
  expect(await statuses(desk, [a, b, c])).toEqual(['approved', 'denied', 'pending'])
  // Sending it again changes nothing that was taken.
  expect((await send(link, stale)).status).toBe(409)
  expect(await statuses(desk, [a, b, c])).toEqual(['approved', 'denied', 'pending'])
})

it('a link that was used speaks for nothing more, and whoever signed in goes on', async () => {
  const desk = await createDesk()
  const [a = '', b = ''] = await waiting(desk, [601, 602])
  const link = await linkTo(desk, a)
  const html = await look(desk, link)
  await send(link, filled(html, [[a, 'approve']]))
  const after = await look(desk, link)
  expect(after).not.toContain('&quot;amount&quot;: 602')
  expect((await send(link, filled(html, [[b, 'approve']]))).status).toBe(409)
  expect(await statuses(desk, [b])).toEqual(['pending'])
  const signed = { 'cf-access-jwt-assertion': await desk.approver('fay') }
  const again = await look(desk, link, signed)
  expect(again).toContain('&quot;amount&quot;: 602')
  expect((await send(link, filled(again, [[b, 'approve']]), signed)).status).toBe(200)
  expect(await statuses(desk, [b])).toEqual(['approved'])
})

it('speaks only for whom the others were sent to, and never for what is answered alone or is unlike', async () => {
  const desk = await createDesk()
  const [a = '', b = ''] = await waiting(desk, [601, 602])
  const [unlike = ''] = await waiting(desk, [1], amount => acting('pair', amount))
  // finn was sent no message of his own: a link to one request is for that one.
  const finn = await linkTo(desk, a, 'finn')
  const html = await look(desk, finn)
  expect(html).not.toContain('&quot;amount&quot;: 602')
  expect((await send(finn, { [`vote:${b}`]: 'approve', [`shown:${b}`]: '' })).status).toBe(409)
  const fay = await linkTo(desk, a)
  expect((await send(fay, { [`vote:${unlike}`]: 'approve' })).status).toBe(409)
  expect((await send(fay, { [`vote:${'x'.repeat(43)}`]: 'approve' })).status).toBe(409)
  expect(await statuses(desk, [a, b, unlike])).toEqual(['pending', 'pending', 'pending'])
  const [wipe = '', another = ''] = await waiting(desk, [1, 2], amount => acting('wipe', amount))
  const dora = { 'cf-access-jwt-assertion': await desk.approver('dora') }
  const alone = await linkTo(desk, wipe, 'dora')
  expect(await look(desk, alone, dora)).not.toContain(another)
  expect((await send(alone, { [`vote:${another}`]: 'approve' }, dora)).status).toBe(409)
  expect(await statuses(desk, [wipe, another])).toEqual(['pending', 'pending'])
})

it('says nothing where nothing is answered, and a link of a channel shows one request', async () => {
  const desk = await createDesk()
  const [a = ''] = await waiting(desk, [601, 602])
  const link = await linkTo(desk, a)
  expect((await send(link, {})).status).toBe(400)
  const channel = await linkUrl(
    await signer(env),
    desk.identifier,
    { task: a },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 3_600_000 },
  )
  const request = new Request(`${channel}/like`, { redirect: 'manual' })
  const response = await exports.default.fetch(request)
  expect([response.status, response.headers.get('location')]).toEqual([303, channel])
})

import { runInDurableObject } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, type Desk, refund, withApproval } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
})

/** The link that a message would carry. */
const linkTo = async (desk: Desk, task: string, approver?: string) =>
  linkUrl(
    await signer(env),
    desk.identifier,
    { task, ...(approver && { approver: { type: 'User', id: approver } }) },
    { id: crypto.randomUUID(), at: clock.now(), until: clock.now() + 3_600_000 },
  )

const look = async (desk: Desk, link: string, headers: Record<string, string> = {}) => {
  const response = await desk.send('GET', link, undefined, { headers })
  return { response, status: response.status, html: await response.text() }
}

const answer = (link: string, form: Record<string, string>, headers: Record<string, string> = {}) => {
  const body = new URLSearchParams(form).toString()
  const sent = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(body.length),
    ...headers,
  }
  return exports.default.fetch(new Request(link, { method: 'POST', body, headers: sent, redirect: 'manual' }))
}

it('looking decides nothing, however often, and answering once is answering', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const link = await linkTo(desk, task, 'fay')
  for (const method of ['GET', 'GET', 'HEAD']) expect((await desk.send(method, link, undefined)).status).toBe(200)
  expect((await desk.status(task)).task.status).toBe('pending')
  const response = await answer(link, { vote: 'approve', reason: 'ok' })
  expect([response.status, response.headers.get('location')]).toEqual([303, link])
  const { result } = await desk.status(task)
  expect((await desk.evaluate(withApproval(refund(600), result?.approval))).decision).toBe(true)
  // The link has done its work: it tells the outcome, and no more of the request.
  const after = await look(desk, link)
  expect(after.html).toContain('Approved')
  expect(after.html).not.toContain('&quot;amount&quot;')
})

it('shows who asks for whom, the exact arguments, the policy and its reason', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const { html, response } = await look(desk, await linkTo(desk, task, 'fay'))
  for (const part of [
    'Agent::&quot;clerk&quot;',
    'User::&quot;uma&quot;',
    '&quot;amount&quot;: 600',
    'refund-over-500',
    'Finance looks at what is over 500',
  ])
    expect(html).toContain(part)
  expect(html).toContain('@escalate(&quot;finance&quot;)')
  const policy = response.headers.get('content-security-policy') ?? ''
  expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'/)
  expect(policy).not.toContain('unsafe')
  expect(response.headers.get('referrer-policy')).toBe('no-referrer')
  expect(html).not.toContain('<script')
})

it('what the agent wrote is text, in its own box, with what hides spelt out', async () => {
  const desk = await createDesk()
  const note = '</pre><script>alert(1)</script>\u202eevorppa\u200b'
  const ask = refund(600, { action: { name: 'refund', properties: { amount: 600, note } } })
  const { task } = await desk.requested(ask, { context: { business_justification: '<b>Approved by finance</b>' } })
  const { html } = await look(desk, await linkTo(desk, task, 'fay'))
  expect(html).not.toContain('<script>')
  expect(html).not.toContain('<b>')
  expect(html).not.toContain('\u202e')
  expect(html).toContain('⟨U+202E⟩')
  expect(html).toContain('⟨U+200B⟩')
  expect(html.indexOf('The requester says')).toBeLessThan(html.indexOf('&lt;b&gt;Approved by finance'))
})

it('a link that was tampered with, has lapsed, or is another kind of token opens nothing', async () => {
  const desk = await createDesk()
  const other = await createDesk()
  const { task, request } = await desk.requested(refund(600))
  const link = await linkTo(desk, task, 'fay')
  const token = link.split('/').at(-1) ?? ''
  for (const bad of [
    `${link.slice(0, -6)}AAAAAA`,
    `${desk.identifier}/approvals/${request.binding_token}`,
    `${desk.identifier}/approvals/${desk.clerk}`,
    `${other.identifier}/approvals/${token}`,
  ])
    expect((await look(desk, bad)).status).toBe(403)
  clock.advance(2 * 3_600_000)
  expect((await answer(link, { vote: 'approve' })).status).toBe(403)
})

it('a channel’s link shows the request, and only who signs in answers', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const link = await linkTo(desk, task)
  expect((await look(desk, link)).html).toContain('Sign in to answer')
  expect((await answer(link, { vote: 'approve' })).status).toBe(403)
  expect((await desk.status(task)).task.status).toBe('pending')
  const headers = { 'cf-access-jwt-assertion': await desk.approver('finn') }
  expect((await look(desk, link, headers)).html).toContain('User::&quot;finn&quot;')
  expect((await answer(link, { vote: 'reject', reason: 'no' }, headers)).status).toBe(303)
  expect((await desk.status(task)).task.status).toBe('denied')
})

it('where the policy wants it, a personal link is not enough, and nobody else can sign in on it', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('signed', 1))
  const link = await linkTo(desk, task, 'fay')
  expect((await look(desk, link)).html).toContain('Sign in to answer')
  expect((await answer(link, { vote: 'approve' })).status).toBe(409)
  const finn = { 'cf-access-jwt-assertion': await desk.approver('finn') }
  expect((await answer(link, { vote: 'approve' }, finn)).status).toBe(403)
  const fay = { 'cf-access-jwt-assertion': await desk.approver('fay') }
  expect((await answer(link, { vote: 'approve' }, fay)).status).toBe(303)
  expect((await desk.status(task)).task.status).toBe('approved')
})

it('whoever may not answer is told why, and nothing changes', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const response = await answer(await linkTo(desk, task, 'olga'), { vote: 'approve' })
  expect(response.status).toBe(409)
  expect(await response.text()).toContain('does not approve')
  expect((await answer(await linkTo(desk, task, 'fay'), { vote: 'perhaps' })).status).toBe(400)
  expect((await desk.status(task)).task.status).toBe('pending')
})

it('says what went before in the session, and how requests like it ended', async () => {
  const desk = await createDesk()
  await desk.evaluate(refund(33))
  const earlier = await desk.requested(refund(700))
  await desk.vote(earlier.task, 'fay', { vote: 'reject' })
  await desk.later(earlier.task, 10)
  const { task } = await desk.requested(refund(600))
  const link = await linkTo(desk, task, 'fay')
  await runInDurableObject(desk.object(), async object => object.alarm())
  clock.advance(2_000)
  await expect
    .poll(
      async () => {
        await runInDurableObject(desk.object(), async object => object.alarm())
        return (await look(desk, link)).html
      },
      { timeout: 4_000 },
    )
    .toMatch(/allow, permitted[\s\S]*: denied/)
})

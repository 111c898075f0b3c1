import { env, exports } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { linkUrl } from '../../src/escalation/link.ts'
import { signer } from '../../src/identity/keys.ts'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, reasonIn, refund, withApproval } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
})

const HOUR = 3_600

it('for the session: later actions like it pass without asking, as often and as long as was said', async () => {
  const desk = await createDesk()
  const standing = { session: true, range: { argument: 'amount', max: 800 }, max: 3, for: 2 * HOUR }
  await desk.approved(refund(600), ['fay'], { vote: 'approve', standing })
  expect(await desk.evaluate(refund(700))).toMatchObject({ decision: true, context: { approval: {} } })
  expect((await desk.evaluate(refund(800))).decision).toBe(true)
  expect((await desk.evaluate(refund(801))).context.reason).toBe('approval_required')
  expect((await desk.evaluate(refund(600))).decision).toBe(true)
  expect((await desk.evaluate(refund(600))).context.reason).toBe('approval_required')
})

it('it ends with its time, and says nothing in another session', async () => {
  const desk = await createDesk()
  const standing = { session: true, max: 3, for: HOUR }
  const { approval } = await desk.approved(refund(600), ['fay'], { vote: 'approve', standing })
  const other = await desk.agent('clerk', { sid: 's2' })
  expect((await desk.evaluate(refund(600), other)).context.reason).toBe('approval_required')
  expect((await desk.evaluate(withApproval(refund(600), approval), other)).context.reason).toBe('out_of_scope')
  expect((await desk.evaluate(refund(600))).decision).toBe(true)
  clock.advance(HOUR * 1000 + 1)
  expect((await desk.evaluate(refund(600), await desk.agent())).context.reason).toBe('approval_required')
})

it('the session that a gateway names is that of the request, of what is granted for it, and of the receipts', async () => {
  const desk = await createDesk()
  const pep = await desk.pepToken()
  const asked = (session_id: string, amount = 600) => ({
    ...refund(amount),
    subject: { type: 'User', id: 'uma', properties: { act: { type: 'Agent', id: 'clerk' } } },
    context: { session_id },
  })
  const { task } = await desk.requested(asked('s7'), {}, pep)
  const url = await linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: 'fay' } },
    { id: 'm1', at: clock.now(), until: clock.now() + 60_000 },
  )
  const page = await (await exports.default.fetch(new Request(url))).text()
  expect(page).toContain('Also later ones in this session')
  expect(page).not.toContain('named no session')
  const granted = await desk.vote(task, 'fay', { vote: 'approve', standing: { session: true, max: 3, for: HOUR } })
  expect(granted.status).toBe(200)
  expect((await desk.evaluate(asked('s7'), pep)).decision).toBe(true)
  expect((await desk.evaluate(asked('s8'), pep)).context.reason).toBe('approval_required')
  // an agent's own word on it is a claim
  const claimed = { ...refund(600), context: { session_id: 's7' } }
  expect((await desk.evaluate(claimed)).context.reason).toBe('approval_required')
  const decisions = (await desk.receipts()).filter(({ kind }) => kind === 'decision')
  expect(decisions.map(({ body }) => JSON.parse(body).session)).toEqual(['s7', 's7', 's8', 's1'])
})

it('a value beyond the range is refused as such', async () => {
  const desk = await createDesk()
  const standing = { range: { argument: 'amount', min: 500, max: 700 }, max: 3, for: HOUR }
  const { approval } = await desk.approved(refund(600), ['fay'], { vote: 'approve', standing })
  const { context } = await desk.evaluate(withApproval(refund(701), approval))
  expect(context).toMatchObject({ outcome: 'step_up', reason: 'out_of_scope', next_action: 'request' })
})

it('what was not loosened must be equal', async () => {
  const desk = await createDesk()
  const range = { argument: 'amount', max: 900 }
  await desk.approved(refund(600), ['fay'], { vote: 'approve', standing: { range, max: 3, for: HOUR } })
  expect((await desk.evaluate(refund(600, { resource: { type: 'Order', id: '8' } }))).decision).toBe(false)
  const noted = { action: { name: 'refund', properties: { amount: 600, note: 'x' } } }
  expect((await desk.evaluate(refund(600, noted))).decision).toBe(false)
  await desk.approved(refund(600, { resource: { type: 'Order', id: '9' } }), ['fay'], {
    vote: 'approve',
    standing: { range, any_resource: true, max: 3, for: HOUR },
  })
  expect((await desk.evaluate(refund(650, { resource: { type: 'Order', id: '8' } }))).decision).toBe(true)
})

it('every other rule still holds', async () => {
  const desk = await createDesk()
  const standing = { range: { argument: 'amount', max: 20_000 }, any_resource: true, max: 3, for: HOUR }
  await desk.approved(refund(600), ['fay'], { vote: 'approve', standing })
  expect((await desk.evaluate(refund(9_001))).context.reason).toBe('forbidden')
  const closed = refund(700, { resource: { type: 'Order', id: 'closed' } })
  expect((await desk.evaluate(closed)).context.reason).toBe('forbidden')
})

it.each([
  ['more often', refund(600), { session: true, max: 4, for: HOUR }],
  ['for longer', refund(600), { session: true, max: 3, for: 25 * HOUR }],
  ['with other arguments', refund(600), { session: true, any_arguments: true, max: 3, for: HOUR }],
  ['for a range of something else', refund(600), { range: { argument: 'note', max: 1 }, max: 1, for: HOUR }],
  ['for no range at all', refund(600), { range: { argument: 'amount' }, max: 1, for: HOUR }],
  ['for nothing in particular', refund(600), { max: 1, for: HOUR }],
  ['where nothing may stand', acting('wipe', 1), { session: true, max: 1, for: HOUR }],
])('nobody can grant it %s than the policy lets them', async (_, ask, standing) => {
  const desk = await createDesk()
  const { task } = await desk.requested(ask)
  const who = ask.action.name === 'wipe' ? 'dora' : 'fay'
  expect(await reasonIn(await desk.vote(task, who, { vote: 'approve', standing }))).toBe('standing_refused')
  expect((await desk.status(task)).task.status).toBe('pending')
})

it('100 evaluations at once use a standing approval as often as it stands', async () => {
  const desk = await createDesk()
  const standing = { range: { argument: 'amount', max: 900 }, max: 3, for: HOUR }
  await desk.approved(refund(600), ['fay'], { vote: 'approve', standing })
  const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => desk.evaluate(refund(501 + index))))
  expect(answers.filter(({ decision }) => decision)).toHaveLength(3)
})

it('requests like each other are answered together, each bound on its own and matched by its id', async () => {
  const desk = await createDesk()
  const [one, two, three] = await Promise.all([600, 700, 800].map(amount => desk.requested(refund(amount))))
  if (!one || !two || !three) throw new Error('three were asked for')
  const token = await desk.approver('fay')
  const seen = await Promise.all([one, two, three].map(async ({ task }) => (await desk.stub(task).state())?.open.like))
  expect(new Set(seen).size).toBe(1)
  const votes = [
    { task: three.task, vote: 'reject' },
    { task: one.task, vote: 'approve' },
    { task: two.task, vote: 'approve' },
    { task: 'c'.repeat(43), vote: 'approve' },
  ]
  const response = await desk.post('/v1/escalations/votes', { votes }, { token })
  expect(await response.json()).toEqual({
    votes: [
      { task: three.task, status: 'denied', again: false },
      { task: one.task, status: 'approved', again: false },
      { task: two.task, status: 'approved', again: false },
      { task: 'c'.repeat(43), error: 'unknown_task' },
    ],
  })
  const results = await Promise.all([one, two].map(async ({ task }) => (await desk.status(task)).result?.approval))
  expect((await desk.evaluate(withApproval(refund(600), results[1]))).context.reason).toBe('approval_mismatch')
  expect((await desk.evaluate(withApproval(refund(600), results[0]))).decision).toBe(true)
  expect((await desk.evaluate(withApproval(refund(700), results[1]))).decision).toBe(true)
})

it('dangerous actions are answered alone', async () => {
  const desk = await createDesk()
  const [one, two] = await Promise.all([1, 2].map(amount => desk.requested(acting('wipe', amount))))
  if (!one || !two) throw new Error('two were asked for')
  const votes = [one, two].map(({ task }) => ({ task, vote: 'approve' }))
  const token = await desk.approver('dora')
  const together = (await (await desk.post('/v1/escalations/votes', { votes }, { token })).json()) as { votes: unknown }
  expect(together.votes).toEqual([
    { task: one.task, error: 'standing_refused' },
    { task: two.task, error: 'standing_refused' },
  ])
  expect(await (await desk.vote(one.task, 'dora')).json()).toMatchObject({ status: 'approved' })
})

it('the page grants what the policy leaves open, and the load is measured', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const link = await linkUrl(
    await signer(env),
    desk.identifier,
    { task, approver: { type: 'User', id: 'fay' } },
    { id: 'm', at: clock.now(), until: clock.now() + HOUR * 1000 },
  )
  const body = 'vote=approve&reach=range%3Aamount&most%3Aamount=750&uses=2&hours=3&any_resource=yes'
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }
  clock.advance(60_000)
  const sent = new Request(link, { method: 'POST', body, headers, redirect: 'manual' })
  expect((await exports.default.fetch(sent)).status).toBe(303)
  expect((await desk.evaluate(refund(750, { resource: { type: 'Order', id: '8' } }))).decision).toBe(true)
  expect((await desk.evaluate(refund(751))).decision).toBe(false)
  await desk.later(task, 100)
  const admin = await desk.token({ roles: ['admin'] })
  await expect
    .poll(async () => (await desk.send('GET', '/v1/escalations/load?days=1', undefined, { token: admin })).json())
    .toMatchObject({
      requests: 1,
      answered: 1,
      timed_out: 0,
      standing_share: 1,
      median_answer_ms: expect.closeTo(60_000, -4),
    })
})

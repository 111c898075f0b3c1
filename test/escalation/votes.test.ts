import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { broken, mend } from '../doubles.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, reasonIn, refund, submission, withApproval } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
  mend()
})

it('200 votes at once give one result', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  const tokens = await Promise.all(['fay', 'finn', 'uma', 'olga', 'dora', 'nobody'].map(desk.approver))
  const votes = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      desk.post(
        `/v1/escalations/${task}/votes`,
        { vote: index % 50 === 49 ? 'reject' : 'approve' },
        { token: tokens[index % tokens.length] ?? '' },
      ),
    ),
  )
  await Promise.all(votes.map(vote => vote.text()))
  const state = await desk.stub(task).state()
  const { status } = (await desk.status(task)).task
  expect(['approved', 'denied']).toContain(status)
  expect(new Set(state?.votes.map(({ approver }) => approver)).size).toBe(state?.votes.length)
  const receipts = (await desk.receipts()).filter(({ kind }) => kind === 'escalation')
  expect(receipts.map(({ body }) => JSON.parse(body).escalation.status)).toEqual([status])
})

it('an approval is used once under 100 evaluations at once', async () => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => desk.evaluate(withApproval(refund(600), approval))),
  )
  expect(answers.filter(({ decision }) => decision)).toHaveLength(1)
  expect(new Set(answers.filter(({ decision }) => !decision).map(({ context }) => context.reason))).toEqual(
    new Set(['approval_used']),
  )
})

it('votes and evaluations at once: what passed was approved before, and passed once', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const passing = Array.from({ length: 50 }, async () => {
    const { result } = await desk.status(task)
    return result ? desk.evaluate(withApproval(refund(600), result.approval)) : undefined
  })
  const voting = ['fay', 'finn'].map(who => desk.vote(task, who))
  const [answers] = await Promise.all([Promise.all(passing), Promise.all(voting)])
  const { result } = await desk.status(task)
  const last = await desk.evaluate(withApproval(refund(600), result?.approval))
  expect([...answers, last].filter(answer => answer?.decision)).toHaveLength(1)
})

it('who has answered cannot answer otherwise', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  await desk.vote(task, 'fay')
  expect(await (await desk.vote(task, 'fay')).json()).toEqual({ status: 'pending', again: true })
  expect(await reasonIn(await desk.vote(task, 'fay', { vote: 'reject' }))).toBe('already_voted')
})

it('a policy decides who else may approve', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  expect(await reasonIn(await desk.vote(task, 'paul'))).toBe('approver_refused')
  const refundTask = (await desk.requested(refund(600))).task
  expect(await (await desk.vote(refundTask, 'paul')).json()).toMatchObject({ status: 'approved' })
})

it('a reason is asked of approvers where the policy wants one', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('argued', 1), { context: { business_justification: 'because' } })
  expect(await reasonIn(await desk.vote(task, 'fay'))).toBe('reason_required')
  expect((await desk.vote(task, 'fay', { vote: 'approve', reason: 'seen the invoice' })).status).toBe(200)
})

it('the next group is asked only when the first was silent', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  expect(await reasonIn(await desk.vote(task, 'dora'))).toBe('not_an_approver')
  clock.advance(3_600_000)
  await desk.vote(task, 'dora')
  expect(await (await desk.vote(task, 'fay')).json()).toMatchObject({ status: 'approved' })
})

it('nobody sees it approved before the agent can use it', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  broken.agents = true
  expect(await (await desk.vote(task, 'fay')).json()).toMatchObject({ status: 'pending' })
  expect((await desk.status(task)).task.status).toBe('pending')
  const cancel = await desk.send('POST', `/access/v1/requests/${task}/cancel`, undefined, { token: desk.clerk })
  expect(cancel.status).toBe(409)
  mend()
  await desk.later(task, 10 * 60_000)
  expect((await desk.status(task)).task.status).toBe('approved')
})

it('whoever waits is told at once', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const waiting = desk.send('GET', `/access/v1/requests/${task}?wait=25`, undefined, { token: desk.clerk })
  await desk.vote(task, 'fay')
  expect(await (await waiting).json()).toMatchObject({ task: { status: 'approved' }, result: { mode: 'reevaluate' } })
})

it('a WebSocket says when it is over', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  const sending = { token: desk.clerk, headers: { upgrade: 'websocket' } }
  const response = await desk.send('GET', `/access/v1/requests/${task}/socket`, undefined, sending)
  expect(response.status).toBe(101)
  const socket = response.webSocket
  if (!socket) throw new Error('no socket')
  const messages: string[] = []
  const closed = new Promise(resolve => socket.addEventListener('close', resolve))
  socket.addEventListener('message', ({ data }) => messages.push(JSON.parse(String(data)).task.status))
  socket.accept()
  await desk.vote(task, 'fay')
  await closed
  expect(messages).toEqual(['pending', 'approved'])
})

it('a guessed task leaves nothing behind', async () => {
  const desk = await createDesk()
  const guessed = desk.stub('b'.repeat(43))
  expect(await guessed.state()).toBeUndefined()
  expect(await guessed.vote({ v: 1, approver: 'x', groups: [], signedIn: true, vote: 'approve', at: 0 })).toEqual({
    kind: 'refused',
    reason: 'unknown_task',
  })
})

it('of one agent only so many wait for humans, and each that is answered makes room', async () => {
  const desk = await createDesk()
  const tasks: string[] = []
  for (let index = 0; index < 50; index++) tasks.push((await desk.requested(refund(501 + index))).task)
  const one = await desk.denied(refund(900))
  const refused = await desk.request(submission(one))
  expect([refused.status, await reasonIn(refused)]).toEqual([429, 'too_many_requests'])
  await desk.vote(tasks[0] ?? '', 'fay', { vote: 'reject' })
  expect((await desk.request(submission(one))).status).toBe(202)
}, 20_000)

it('who asked, who answered and why is on the chain, erasable', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600), {
    context: { business_justification: 'the parcel is back' },
    client: { name: 'desk app', actor: { id: 'clerk' } },
  })
  await desk.vote(task, 'fay', { vote: 'approve', reason: 'seen it' })
  const withdrawn = await desk.requested(refund(700))
  const path = `/access/v1/requests/${withdrawn.task}/cancel`
  await desk.post(path, { reason: 'changed_mind', comment: 'not needed' }, { token: desk.clerk })
  await desk.later(withdrawn.task, 1_000)
  const receipts = (await desk.receipts()).filter(({ kind }) => kind === 'escalation')
  const [approved, cancelled] = receipts.map(({ secrets }) => JSON.parse(secrets))
  expect(approved.caller.value).toMatchObject({ justification: 'the parcel is back' })
  expect(approved.answers.value).toMatchObject([{ approver: 'User::"fay"', vote: 'approve', reason: 'seen it' }])
  expect(cancelled.withdrawn.value).toMatchObject({ reason: 'changed_mind', comment: 'not needed' })
  for (const { body } of receipts) expect(body).not.toMatch(/fay|parcel|changed_mind/)
})

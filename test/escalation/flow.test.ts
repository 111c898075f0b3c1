import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { calm } from '../outside.ts'
import { acting, createDesk, reasonIn, refund, withApproval } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
})

it('what only a human may allow is denied, requestable, and passes once when it was approved', async () => {
  const desk = await createDesk()
  expect(await desk.evaluate(refund(400))).toMatchObject({ decision: true })
  const { approval, task } = await desk.approved(refund(600))
  const first = await desk.evaluate(withApproval(refund(600), approval))
  expect(first).toMatchObject({
    decision: true,
    context: { outcome: 'allow', approval: { id: approval.id, approved_until: approval.approved_until } },
  })
  const second = await desk.evaluate(withApproval(refund(600), approval))
  expect(second).toMatchObject({
    decision: false,
    context: { outcome: 'step_up', reason: 'approval_used', next_action: 'request' },
  })
  expect((await desk.status(task)).task.status).toBe('approved')
})

it('without its approval the same action is asked for again', async () => {
  const desk = await createDesk()
  await desk.approved(refund(600))
  expect((await desk.evaluate(refund(600))).context.reason).toBe('approval_required')
})

it('an approval says which approver gave it on the chain, and the decision which forbid it lifted', async () => {
  const desk = await createDesk()
  const { approval, evaluation, task } = await desk.approved(refund(600))
  await desk.evaluate(withApproval(refund(600), approval))
  const bodies = (await desk.receipts()).map(({ kind, body }) => ({ kind, ...JSON.parse(body) }))
  expect(bodies.map(({ kind }) => kind)).toEqual(['decision', 'escalation', 'decision'])
  expect(bodies[1]?.escalation).toMatchObject({ task, evaluation_id: evaluation, status: 'approved' })
  expect(bodies[2]?.decision).toMatchObject({ lifted: ['refund-over-500'], approvals: [{ id: approval.id }] })
})

it.each([
  ['another amount', refund(601), 'approval_mismatch'],
  ['another resource', refund(600, { resource: { type: 'Order', id: '8' } }), 'approval_mismatch'],
])('an approval for one action refuses %s', async (_, ask, reason) => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  const { context } = await desk.evaluate(withApproval(ask, approval))
  expect(context).toMatchObject({ outcome: 'step_up', reason, next_action: 'request' })
  expect(context.access_request).toBeDefined()
  expect((await desk.evaluate(withApproval(refund(600), approval))).decision).toBe(true)
})

it("another agent can't use it, and learns nothing of it", async () => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  const helper = await desk.agent('helper')
  const ask = refund(600, { subject: { type: 'Agent', id: 'helper' } })
  const { context } = await desk.evaluate(withApproval(ask, approval), helper)
  expect(context).toMatchObject({ outcome: 'deny', reason: 'approval_unverifiable', next_action: 'none' })
})

it('the same agent acting for another user is another action', async () => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  const forFinn = await desk.agent('clerk', { user: { type: 'User', id: 'finn' } })
  expect((await desk.evaluate(withApproval(refund(600), approval), forFinn)).context.reason).toBe('approval_mismatch')
})

it('a lapsed approval is refused as such', async () => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  clock.advance(3_600_000 + 1)
  expect((await desk.evaluate(withApproval(refund(600), approval), await desk.agent())).context.reason).toBe(
    'approval_expired',
  )
})

it('a changed text of what it lifts makes it void; any other push does not', async () => {
  const desk = await createDesk()
  const first = await desk.approved(refund(600))
  const second = await desk.approved(refund(700))
  const other = await desk.push(bundle => {
    bundle.settings.explain_to_agents = true
  })
  clock.advance(6_000)
  await expect.poll(async () => (await desk.evaluate(refund(10))).context.bundle).toBe(other.hash)
  expect((await desk.evaluate(withApproval(refund(600), first.approval))).decision).toBe(true)
  const changed = await desk.push(bundle => {
    const text = bundle.texts['refund-over-500']
    if (text) text.hash = 'another text'
  })
  clock.advance(6_000)
  await expect.poll(async () => (await desk.evaluate(refund(10))).context.bundle).toBe(changed.hash)
  const { context } = await desk.evaluate(withApproval(refund(700), second.approval))
  expect(context).toMatchObject({ outcome: 'step_up', reason: 'approval_void', next_action: 'request' })
})

it('an approval that was taken back is refused', async () => {
  const desk = await createDesk()
  const { approval, task } = await desk.approved(refund(600))
  const revoked = await desk.post(`/v1/escalations/${task}/revoke`, {}, { token: await desk.approver('finn') })
  expect(await revoked.json()).toEqual({ revoked: true })
  expect((await desk.evaluate(withApproval(refund(600), approval))).context.reason).toBe('approval_revoked')
})

it('an id that nobody gave, a state that nobody signed and a state of another approval are refused alike', async () => {
  const desk = await createDesk()
  const one = await desk.approved(refund(600))
  const other = await desk.approved(refund(700))
  for (const forged of [
    { id: 'x'.repeat(43) },
    { ...one.approval, state: `${one.approval.state.slice(0, -8)}AAAAAAAA` },
    { ...one.approval, state: other.approval.state },
    { ...one.approval, state: { not: 'a token' } },
    'not an approval',
  ]) {
    const { context } = await desk.evaluate(withApproval(refund(600), forged))
    expect(context).toMatchObject({ outcome: 'deny', reason: 'approval_unverifiable', next_action: 'none' })
  }
  expect((await desk.evaluate(withApproval(refund(600), { id: one.approval.id }))).decision).toBe(true)
})

it('every other rule is judged again, and what it denies leaves the approval unused', async () => {
  const desk = await createDesk()
  const { approval } = await desk.approved(refund(600))
  await desk.post(
    '/v1/agents/Agent/clerk/suspend',
    { reason: 'test' },
    { token: await desk.token({ roles: ['admin'] }) },
  )
  expect((await desk.evaluate(withApproval(refund(600), approval))).context).toMatchObject({
    reason: 'suspended',
    next_action: 'none',
  })
  await desk.post(
    '/v1/agents/Agent/clerk/resume',
    { reason: 'test' },
    { token: await desk.token({ roles: ['admin'] }) },
  )
  expect((await desk.evaluate(withApproval(refund(600), approval))).decision).toBe(true)
})

it('what no human may lift is no request', async () => {
  const desk = await createDesk()
  const { context } = await desk.evaluate(refund(9_001))
  expect(context).toMatchObject({ outcome: 'deny', reason: 'forbidden' })
  expect(context.access_request).toBeUndefined()
})

it('a limit may be exceeded by approval, and is charged all the same', async () => {
  const desk = await createDesk()
  expect((await desk.evaluate(acting('burst', 1))).decision).toBe(true)
  const { approval } = await desk.approved(acting('burst', 1))
  expect((await desk.evaluate(withApproval(acting('burst', 1), approval))).decision).toBe(true)
  clock.advance(3_600_000)
  // Two were taken of one an hour, so an hour brings it back to nothing.
  expect((await desk.evaluate(acting('burst', 1), await desk.agent())).context.outcome).toBe('step_up')
})

it('two policies ask two groups, and both must agree', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('pair', 1))
  await desk.vote(task, 'fay')
  expect((await desk.status(task)).task).toMatchObject({
    status: 'pending',
    progress: { current_step: 2, total_steps: 2 },
  })
  await desk.vote(task, 'dora')
  const { result } = await desk.status(task)
  const until = Date.parse(result?.approval.approved_until ?? '') - Date.parse(result?.approval.approved_at ?? '')
  expect(until).toBe(30 * 60_000)
  expect((await desk.evaluate(withApproval(acting('pair', 1), result?.approval))).decision).toBe(true)
})

it('one refusal ends it', async () => {
  const desk = await createDesk()
  const { task, evaluation } = await desk.requested(acting('wire', 1))
  await desk.vote(task, 'fay')
  const refused = await desk.vote(task, 'finn', { vote: 'reject', reason: 'no' })
  expect(await refused.json()).toMatchObject({ status: 'denied' })
  expect(await reasonIn(await desk.vote(task, 'dora'))).toBe('not_an_approver')
  expect((await desk.status(task)).result).toBeUndefined()
  const [, receipt] = await desk.receipts()
  expect(JSON.parse(receipt?.body ?? '').escalation).toMatchObject({
    status: 'denied',
    outcome: 'deny',
    reason: 'approval_denied',
    evaluation_id: evaluation,
  })
})

it('the wait is over, so a retry of the denied call is judged anew', async () => {
  const desk = await createDesk()
  const sending = { token: desk.clerk, headers: { 'idempotency-key': 'k1' } }
  const first = await desk.evaluate(refund(600))
  const kept = await desk.evaluateWith(refund(600), sending)
  expect(kept.context.evaluation_id).not.toBe(first.context.evaluation_id)
  expect((await desk.evaluateWith(refund(600), sending)).context.evaluation_id).toBe(kept.context.evaluation_id)
  const { request } = { request: kept.context.access_request }
  if (!request) throw new Error('not requestable')
  const response = await desk.request({
    ...refund(600),
    denial: {
      evaluation_id: kept.context.evaluation_id,
      expires_at: request.expires_at,
      binding_token: request.binding_token,
    },
  })
  const { task } = (await response.json()) as { task: { id: string } }
  await desk.vote(task.id, 'fay')
  expect((await desk.evaluateWith(refund(600), sending)).context.evaluation_id).not.toBe(kept.context.evaluation_id)
})

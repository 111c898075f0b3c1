import { evictDurableObject, runDurableObjectAlarm } from 'cloudflare:test'
import { afterEach, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { broken, mend } from '../doubles.ts'
import { calm, outside } from '../outside.ts'
import { acting, createDesk, type Desk, refund } from './world.ts'

afterEach(() => {
  clock.reset()
  calm()
  mend()
})

const eventsOf = async (desk: Desk, task: string) =>
  ((await desk.stub(task).state())?.deliveries ?? []).map(
    ({ event, webhook, status }) => `${event} ${webhook} ${status}`,
  )

it('who is asked is told at once, and reminded until someone answers', async () => {
  const desk = await createDesk()
  const admin = await desk.token({ roles: ['admin'] })
  await desk.post('/v1/webhooks/fay/secrets', {}, { token: admin })
  const { task } = await desk.requested(refund(600))
  await desk.later(task, 10)
  await expect.poll(() => outside.received.length).toBe(2)
  await desk.later(task, 3_600_000)
  await desk.later(task, 10)
  await expect
    .poll(async () => (await eventsOf(desk, task)).sort())
    .toEqual([
      'reminded fay sent',
      'reminded finance-channel sent',
      'requested fay sent',
      'requested finance-channel sent',
    ])
  await desk.vote(task, 'finn')
  await desk.later(task, 3_600_000)
  await desk.later(task, 10)
  expect(await eventsOf(desk, task)).toHaveLength(4)
})

it('the next group of the chain is told when the first was silent', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  await desk.later(task, 10)
  await desk.later(task, 3_600_000)
  await desk.later(task, 10)
  await expect
    .poll(() => outside.received.map(({ url }) => url).filter(url => url.includes('teams')))
    .toEqual(['https://teams.example/hook'])
}, 15_000)

it('and not where it was answered', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(acting('wire', 1))
  await desk.vote(task, 'fay')
  await desk.vote(task, 'finn')
  await desk.later(task, 3_600_000)
  await desk.later(task, 10)
  expect(outside.received.filter(({ url }) => url.includes('teams'))).toEqual([])
})

it('what waits is found again after a restart: the alarm goes on where it was', async () => {
  const desk = await createDesk()
  const { task, evaluation } = await desk.requested(refund(600))
  await desk.later(task, 10)
  await evictDurableObject(desk.stub(task))
  expect((await desk.status(task)).task.status).toBe('pending')
  clock.advance(4 * 3_600_000 + 1)
  await evictDurableObject(desk.stub(task))
  await runDurableObjectAlarm(desk.stub(task))
  await evictDurableObject(desk.stub(task))
  await desk.later(task, 10_000)
  expect((await desk.status(task, await desk.agent())).task.status).toBe('expired')
  const receipts = (await desk.receipts()).filter(({ kind }) => kind === 'escalation')
  expect(receipts.map(({ body }) => JSON.parse(body).escalation.evaluation_id)).toEqual([evaluation])
}, 15_000)

it('an approval that could not be delivered is delivered later, once', async () => {
  const desk = await createDesk()
  const { task } = await desk.requested(refund(600))
  broken.agents = true
  await desk.vote(task, 'fay')
  await desk.later(task, 5_000)
  await evictDurableObject(desk.stub(task))
  mend()
  await desk.later(task, 600_000)
  await desk.later(task, 600_000)
  expect((await desk.status(task)).task.status).toBe('approved')
  expect((await desk.receipts()).filter(({ kind }) => kind === 'escalation')).toHaveLength(1)
})

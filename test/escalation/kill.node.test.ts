import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLocal } from './local.ts'

/**
 * The Worker's process is killed at each step of an escalation, with the step's call in flight, and started again on the
 * same state. `KILLS` says how often at each step, each time a little later after the call was sent; without it, once at
 * three of them.
 */

const KILLS = Number(process.env.KILLS ?? '0')
const STEPS = KILLS > 0 ? ['evaluate', 'request', 'message', 'vote', 'status', 'again'] : ['request', 'vote', 'again']
const DELAYS_MS = [3, 0, 8, 15, 30]

type Local = Awaited<ReturnType<typeof createLocal>>
let local: Local

beforeAll(async () => {
  local = await createLocal()
}, 240_000)
afterAll(() => local?.close(), 60_000)

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

it(
  'nothing is lost, nothing is doubled, and messages keep their ids',
  async () => {
    const admin = await local.token('--role', 'admin')
    const auditor = await local.token('--role', 'auditor')
    const fay = await local.token('--role', 'approver', '--user', 'User::"fay"')
    await local.call('/v1/webhooks/fay/secrets', admin, {})
    await local.call('/v1/webhooks/gateway/secrets', admin, {})
    const clerk = await local.token('--agent', 'Agent::"clerk"', '--user', 'User::"uma"', '--session', 's1')
    const callback = `http://127.0.0.1:${local.receiver.port}/gateway`
    let kills = 0

    /** Sends a call, kills the Worker under it if this is the step, and sends it again as a client would. */
    const step = async <T>(doomed: boolean, delay: number, send: () => Promise<Response>): Promise<T> => {
      if (doomed) {
        kills++
        // Whatever became of it: the answer may be cut off in the middle too.
        const lost = send()
          .then(response => response.text())
          .catch(() => undefined)
        await sleep(delay)
        await local.restart()
        await lost
      }
      for (let tries = 0; ; tries++) {
        try {
          const response = await send()
          if (response.status < 500) return (await response.json()) as T
        } catch (error) {
          if (tries > 20) throw error
        }
        await sleep(200)
      }
    }

    const tasks: { task: string; evaluation: string; permit: string }[] = []
    for (let round = 0; round < Math.max(1, KILLS); round++) {
      for (const doomed of STEPS) {
        const delay = DELAYS_MS[round % DELAYS_MS.length] ?? 0
        const key = crypto.randomUUID()
        const ask = {
          subject: { type: 'Agent', id: 'clerk' },
          action: { name: 'refund', properties: { amount: 600 + tasks.length } },
          resource: { type: 'Order', id: '7' },
        }
        type Decision = {
          decision: boolean
          context: Record<string, never> & { evaluation_id: string; permit: string }
        }
        const denied = await step<
          Decision & { context: { access_request: { expires_at: string; binding_token: string } } }
        >(doomed === 'evaluate', delay, () =>
          local.call('/access/v1/evaluation', clerk, ask, { 'idempotency-key': `e-${key}` }),
        )
        const { evaluation_id, access_request } = denied.context
        const { expires_at, binding_token } = access_request
        const body = {
          ...ask,
          denial: { evaluation_id, expires_at, binding_token },
          callback: { endpoint: callback, state: evaluation_id },
        }
        const { task } = await step<{ task: { id: string } }>(doomed === 'request', delay, () =>
          local.call('/access/v1/requests', clerk, body, { 'idempotency-key': `r-${key}` }),
        )
        if (doomed === 'message') {
          kills++
          await sleep(delay)
          await local.restart()
        }
        await step(doomed === 'vote', delay, () =>
          local.call(`/v1/escalations/${task.id}/votes`, fay, { vote: 'approve' }),
        )
        type Done = { task: { status: string }; result?: { approval: unknown } }
        let done = await step<Done>(doomed === 'status', delay, () =>
          local.call(`/access/v1/requests/${task.id}`, clerk),
        )
        for (let tries = 0; tries < 100 && done.task.status === 'pending'; tries++) {
          await sleep(100)
          done = await step<Done>(false, 0, () => local.call(`/access/v1/requests/${task.id}`, clerk))
        }
        expect(done.task.status).toBe('approved')
        const again = { ...ask, context: { approval: done.result?.approval } }
        const passed = await step<Decision>(doomed === 'again', delay, () =>
          local.call('/access/v1/evaluation', clerk, again, { 'idempotency-key': `a-${key}` }),
        )
        expect(passed.decision).toBe(true)
        const replay = await step<Decision>(false, 0, () => local.call('/access/v1/evaluation', clerk, again))
        expect(replay.context).toMatchObject({ reason: 'approval_used' })
        tasks.push({ task: task.id, evaluation: evaluation_id, permit: passed.context.permit })
      }
    }

    // Each message reached its receiver, if more than once then with one id and one text.
    const wanted = tasks.length
    const byId = () => Map.groupBy(local.receiver.messages, ({ headers }) => String(headers['webhook-id']))
    const ids = (path: string) => [...byId()].filter(([, [first]]) => first?.path === path)
    for (let tries = 0; tries < 600 && ids('/gateway').length < wanted; tries++) await sleep(100)
    expect(ids('/gateway')).toHaveLength(wanted)
    for (const [, messages] of byId()) expect(new Set(messages.map(({ body }) => body)).size).toBe(1)
    const states = ids('/gateway').map(([, [message]]) => JSON.parse(message?.body ?? '').state)
    expect(states.sort()).toEqual(tasks.map(({ evaluation }) => evaluation).sort())

    // On record: one end for each request, and one decision that used its approval.
    type Receipts = { receipts: { kind: string; body: Record<string, Record<string, unknown>> }[]; next?: string }
    const receipts: Receipts['receipts'] = []
    for (let tries = 0; tries < 100; tries++) {
      receipts.length = 0
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
        const page = (await (await local.call(`/v1/receipts?limit=200${query}`, auditor)).json()) as Receipts
        receipts.push(...page.receipts)
        cursor = page.next
      }
      // Each escalation leaves four: the denial, its end, what passed, and the replay that didn't.
      if (receipts.length >= 4 * wanted) break
      await sleep(200)
    }
    const ends = receipts.filter(({ kind }) => kind === 'escalation').map(({ body }) => body.escalation)
    expect(ends.map(end => end?.task).sort()).toEqual(tasks.map(({ task }) => task).sort())
    const uses = receipts.flatMap(({ body }) => (body.decision?.approvals as { id: string }[] | undefined) ?? [])
    expect(new Set(uses.map(({ id }) => id)).size).toBe(uses.length)
    expect(uses).toHaveLength(wanted)
    console.log(
      `${kills} kills, ${wanted} escalations, ${local.receiver.messages.length} messages with ${byId().size} ids`,
    )
  },
  120_000 + KILLS * 240_000,
)

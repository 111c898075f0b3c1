import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import * as v from 'valibot'
import { nameOf } from '../../src/durable/names.ts'
import type { AccessRequest } from '../../src/escalation/requestable.ts'
import type { Tenant } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { createWorld, type TokenClaims } from '../http/world.ts'

/** A tenant whose larger refunds humans approve (test/fixtures/approvals), and short ways to ask and to answer. */
export const createDesk = async (settings?: Partial<Tenant>) => {
  const world = await createWorld({ folder: 'approvals', ...(settings && { settings }) })
  const agent = (id = 'clerk', more: TokenClaims = {}) =>
    world.agentToken(id, { user: { type: 'User', id: 'uma' }, sid: 's1', ...more })
  const approver = (id: string) => world.token({ sub: id, roles: ['approver'], user: { type: 'User', id } })
  const clerk = await agent()

  const evaluate = (ask: unknown, token: string = clerk) => world.evaluate(ask, { token })

  /** Evaluates what a human must approve. */
  const denied = async (ask: Record<string, unknown>, token: string = clerk) => {
    const { decision, context } = await evaluate(ask, token)
    if (decision || !context.access_request) throw new Error(`not requestable: ${JSON.stringify(context)}`)
    return { ask, evaluation: context.evaluation_id, request: context.access_request }
  }

  const request = (body: unknown, sending: { token?: string; headers?: Record<string, string> } = {}) =>
    world.post('/access/v1/requests', body, { token: clerk, ...sending })

  /** Denied, and requested. */
  const requested = async (ask: Record<string, unknown>, more: Record<string, unknown> = {}, token: string = clerk) => {
    const denial = await denied(ask, token)
    const response = await request({ ...submission(denial), ...more }, { token })
    if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`)
    const { task } = v.parse(TaskAnswer, await response.json())
    return { ...denial, task: task.id }
  }

  const status = async (task: string, token: string = clerk) => {
    const response = await world.send('GET', `/access/v1/requests/${task}`, undefined, { token })
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
    return v.parse(TaskAnswer, await response.json())
  }

  const vote = async (task: string, who: string, body: Record<string, unknown> = { vote: 'approve' }) =>
    world.post(`/v1/escalations/${task}/votes`, body, { token: await approver(who) })

  /** Requested, and approved by whoever is named. */
  const approved = async (ask: Record<string, unknown>, who = ['fay'], body?: Record<string, unknown>) => {
    const waiting = await requested(ask)
    for (const one of who) {
      const response = await vote(waiting.task, one, body)
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
    }
    const { result } = await status(waiting.task)
    if (!result) throw new Error('approved, and no result')
    return { ...waiting, approval: result.approval }
  }

  const stub = (task: string) => env.ESCALATION.getByName(nameOf('escalation', world.tenant, task))

  /** Lets the time come at which the next thing is due, and fires the alarm. */
  const later = async (task: string, ms: number): Promise<void> => {
    clock.advance(ms)
    await runDurableObjectAlarm(stub(task))
  }

  return {
    ...world,
    evaluateWith: world.evaluate,
    agent,
    approver,
    clerk,
    evaluate,
    denied,
    request,
    requested,
    status,
    vote,
    approved,
    stub,
    later,
  }
}
export type Desk = Awaited<ReturnType<typeof createDesk>>

export const TaskAnswer = v.strictObject({
  task: v.strictObject({
    id: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)),
    status: v.picklist(['pending', 'approved', 'denied', 'expired', 'cancelled', 'failed']),
    status_endpoint: v.pipe(v.string(), v.startsWith('https://')),
    expires_at: v.pipe(v.string(), v.isoTimestamp()),
    progress: v.optional(v.strictObject({ current_step: v.number(), total_steps: v.number() })),
    links: v.optional(v.strictObject({ cancel: v.pipe(v.string(), v.startsWith('https://')) })),
    display: v.optional(v.strictObject({ title: v.string() })),
  }),
  result: v.optional(
    v.strictObject({
      mode: v.literal('reevaluate'),
      approval: v.strictObject({
        id: v.pipe(v.string(), v.regex(/^[\w-]{43}$/)),
        approved_at: v.pipe(v.string(), v.isoTimestamp()),
        approved_until: v.pipe(v.string(), v.isoTimestamp()),
        state: v.string(),
      }),
    }),
  ),
})

/** The request that the profile asks a PEP to make of a denial. */
export const submission = ({
  ask,
  evaluation,
  request,
}: {
  ask: Record<string, unknown>
  evaluation: string
  request: AccessRequest
}) => ({
  ...ask,
  denial: {
    evaluation_id: evaluation,
    expires_at: request.expires_at,
    reason: 'approval_required',
    binding_token: request.binding_token,
    template: request.template,
  },
})

export const acting = (name: string, amount: number, more: Record<string, unknown> = {}) => ({
  subject: { type: 'Agent', id: 'clerk' },
  action: { name, properties: { amount } },
  resource: { type: 'Order', id: '7' },
  ...more,
})
export const refund = (amount: number, more: Record<string, unknown> = {}) => acting('refund', amount, more)

/** The same action, with the approval that came of it. */
export const withApproval = (ask: Record<string, unknown>, approval: unknown) => ({
  ...ask,
  context: { ...(ask.context as Record<string, unknown> | undefined), approval },
})

export const typeIn = async (response: Response): Promise<string> => {
  const { type } = v.parse(v.object({ type: v.string() }), await response.json())
  return type
}

export const reasonIn = async (response: Response): Promise<string> => {
  const { reason } = v.parse(v.object({ reason: v.string() }), await response.json())
  return reason
}

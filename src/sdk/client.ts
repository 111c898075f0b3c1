import type { Ask, Decision, Settling } from './types.ts'
import { type Call, type TaskAnswer, untilOver } from './wait.ts'

export type ClientOptions = {
  /** The tenant's base: `https://pdp.example.com/acme`. */
  url: string
  /** A bearer token, or what gives the current one. */
  token: string | (() => string | Promise<string>)
  fetch?: typeof fetch
}

export type Client = {
  /** Judges one action. `key` makes a retry the same decision; by default each call has one of its own. */
  evaluate: (ask: Ask, options?: { key?: string }) => Promise<Decision>
}

export const createClient = ({ url, token, fetch: send = fetch }: ClientOptions): Client => {
  const base = url.replace(/\/$/, '')
  const call: Call = async (target, { method = 'GET', body, key, signal } = {}) =>
    send(target, {
      method,
      headers: {
        authorization: `Bearer ${typeof token === 'string' ? token : await token()}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
  const evaluate: Client['evaluate'] = async (ask, { key = crypto.randomUUID() } = {}) =>
    decisionOf(
      await answerOf(await retried(() => call(`${base}/access/v1/evaluation`, { method: 'POST', body: ask, key }))),
      ask,
    )

  const decisionOf = (answer: Answer, ask: Ask, request?: Decision['request']): Decision => {
    const { decision, context } = answer
    return {
      allowed: decision === true,
      outcome: context.outcome,
      reason: context.reason,
      evaluationId: context.evaluation_id,
      ...(context.permit !== undefined && { permit: context.permit }),
      ...(context.retry_after !== undefined && { retryAfter: context.retry_after }),
      context,
      ...(request && { request }),
      settled: options => settle(answer, ask, options),
    }
  }

  const settle = async (answer: Answer, ask: Ask, options: Settling = {}): Promise<Decision> => {
    const { access_request: requestable, evaluation_id } = answer.context
    if (answer.decision || !requestable) return decisionOf(answer, ask)
    const endpoint = requestable.endpoint ?? `${base}/access/v1/requests`
    // Where the token may go is not for a response to say.
    if (new URL(endpoint).origin !== new URL(base).origin) throw new Error(`${endpoint} is not of ${base}`)
    if (requestable.request_schema_url !== undefined && options.justification === undefined)
      throw new Error('the policy asks for a justification')
    const submission = {
      ...ask,
      context: {
        ...ask.context,
        approval: undefined,
        ...(options.justification !== undefined && { business_justification: options.justification }),
      },
      ...(options.until && { requested_access: { requested_until: options.until.toISOString() } }),
      denial: {
        evaluation_id,
        expires_at: requestable.expires_at,
        reason: answer.context.reason,
        binding_token: requestable.binding_token,
        template: requestable.template,
      },
    }
    const body = { method: 'POST', body: submission, key: `request-${evaluation_id}`, signal: options.signal }
    const { task } = await taskOf(await retried(() => call(endpoint, body)))
    const over = await untilOver(call, task, options.signal)
    const ended = { task: task.id, status: over.task.status }
    const approval =
      over.task.status === 'approved' && over.result?.mode === 'reevaluate' ? over.result.approval : undefined
    // Anything but an approval that we know how to use is none.
    if (approval === undefined)
      return { ...decisionOf(answer, ask, ended), outcome: 'deny', reason: `approval_${ended.status}` }
    const again = { ...ask, context: { ...ask.context, approval } }
    const passed = await retried(() =>
      call(`${base}/access/v1/evaluation`, { method: 'POST', body: again, key: `approved-${task.id}` }),
    )
    return decisionOf(await answerOf(passed), again, ended)
  }

  return { evaluate }
}

type Answer = {
  decision: boolean
  context: Record<string, unknown> & {
    outcome: Decision['outcome']
    reason: string
    evaluation_id: string
    permit?: string
    retry_after?: number
    access_request?: {
      endpoint?: string
      template?: string
      expires_at: string
      binding_token: string
      request_schema_url?: string
    }
  }
}

const answerOf = (response: Response): Promise<Answer> => bodyOf<Answer>(response)
const taskOf = (response: Response): Promise<TaskAnswer> => bodyOf<TaskAnswer>(response)

const bodyOf = async <T>(response: Response): Promise<T> => {
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status} ${text}`)
  return JSON.parse(text)
}

/** With the same key a retry is the same decision, so a lost answer may be asked for again. */
const retried = async (send: () => Promise<Response>): Promise<Response> => {
  for (let tries = 0; ; tries++) {
    try {
      const response = await send()
      if (response.status < 500 || tries === 3) return response
    } catch (error) {
      if (tries === 3 || (error instanceof Error && error.name === 'AbortError')) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 200 * 2 ** tries))
  }
}

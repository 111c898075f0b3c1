import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { vaultOf } from '../audit/privacy/vault.ts'
import { receiptOf } from '../audit/store.ts'
import { Action, Entity, read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { nameOf } from '../durable/names.ts'
import { BUNDLE, bundleTask, isBundle, newBundle, requestsOf } from '../escalation/bundle.ts'
import type { CancelCall, EscalationState, OpenCall } from '../escalation/call.ts'
import { type RequestDeps, requestOf, takeKeyFor } from '../escalation/request.ts'
import { isOver } from '../escalation/state.ts'
import { bundleAt, keepBundle } from '../escalation/store.ts'
import { Submission } from '../escalation/submission.ts'
import { actsFor, taskOf } from '../escalation/task.ts'
import { signer } from '../identity/keys.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { inQuery, json, jsonBody, problems } from './describe.ts'
import { statuses } from './escalation-answer.ts'
import { problem } from './problem.ts'
import { identifierOf } from './tenant.ts'
import { Time } from './time.ts'
import type { AppEnv } from './types.ts'

/** What an approval is evaluated again with. */
const Result = v.object({
  mode: v.literal('reevaluate'),
  approval: v.object({
    id: v.string(),
    approved_at: Time,
    approved_until: Time,
    state: v.string(),
  }),
})
const Task = v.object({
  task: v.object({
    id: v.string(),
    status: v.picklist([...statuses, 'partial']),
    status_endpoint: v.string(),
    expires_at: Time,
    progress: v.optional(v.object({ current_step: v.number(), total_steps: v.number() })),
    links: v.optional(v.object({ cancel: v.string() })),
    display: v.optional(v.object({ title: v.string() })),
    /** Of several that were requested as one, what became of each, in their order. */
    items: v.optional(
      v.array(v.object({ resource: Entity, action: Action, status: v.picklist(statuses), result: v.optional(Result) })),
    ),
  }),
  result: v.optional(Result),
})

const Cancel = v.object({
  reason: v.optional(v.pipe(v.string(), v.maxLength(256))),
  comment: v.optional(v.pipe(v.string(), v.maxLength(2_000))),
})

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/
/** The longest that a status call waits for news, in seconds. */
const MOST_WAIT = 25

const Waiting = v.strictObject({
  wait: v.optional(
    v.pipe(
      v.string(),
      v.check(text => /^\d{1,2}$/.test(text) && Number(text) <= MOST_WAIT, `0 to ${MOST_WAIT} seconds`),
      v.transform(Number),
    ),
  ),
})

const asking = authenticated(['agent', 'pep'])
const looking = authenticated(['agent', 'pep', 'admin', 'auditor'])

/** The access-request API (AuthZEN Access Request and Approval Profile, draft 1). */
export const requests = new Hono<AppEnv>()
  .post(
    '/access/v1/requests',
    describeRoute({
      summary: 'Ask a human to approve what was denied',
      requestBody: jsonBody(Submission),
      responses: { 202: json('The task', Task), ...problems(400, 401, 403, 409, 410, 413, 429) },
    }),
    asking,
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const key = c.req.header('idempotency-key')
      if (key !== undefined && !IDEMPOTENCY_KEY.test(key)) {
        const detail = 'Idempotency-Key is 1 to 255 visible ASCII characters'
        return problem(refusal(400, 'malformed_request', { detail }))
      }
      const { place, now, session } = c.var
      const identifier = identifierOf(place.tenant, c.env)
      const deps: RequestDeps = {
        db: c.env.DB,
        agents: c.env.AGENT,
        env: c.env,
        vault: vaultOf(c.env, place.tenant, now),
        tenant: place.tenant,
        identifier,
        ...session,
        now,
        wasDecided: async id => (await receiptOf(c.env.DB, place.tenant, id)) !== undefined,
      }
      const taken = key === undefined ? { task: newBundle() } : await takeKeyFor(body.value, key, deps, newBundle())
      if (isRefusal(taken)) return problem(taken)
      if (isBundle(body.value)) {
        const calls = await requestsOf(body.value, deps)
        if (isRefusal(calls)) return problem(calls)
        const states = await Promise.all(calls.map(async call => opened(c, call)))
        const items = JSON.stringify(calls.map(({ task }) => task))
        await keepBundle(c.env.DB, { task: taken.task, tenant: place.tenant, items, at: now })
        const shown = await bundleTask(taken.task, states, { identifier, signer: await signer(c.env) })
        return c.json(shown, 202, { location: shown.task.status_endpoint })
      }
      const call = await requestOf(body.value, deps)
      if (isRefusal(call)) return problem(call)
      const shown = await show(c, await opened(c, call))
      return c.json(shown, 202, { location: shown.task.status_endpoint })
    },
  )
  .get(
    '/access/v1/requests/:task',
    describeRoute({
      summary: 'What became of it; with `wait`, as soon as something does',
      parameters: inQuery(Waiting),
      responses: { 200: json('The task', Task), ...problems(400, 401, 403, 404, 410) },
    }),
    looking,
    async c => {
      const query = read(Waiting, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { wait } = query
      const ms = wait === undefined ? undefined : wait * 1000
      const bundle = await bundleOf(c)
      if (bundle && isRefusal(bundle)) return problem(bundle)
      const shown = bundle
        ? await showBundle(c, ms === undefined ? bundle : await nextOf(c, bundle, ms))
        : await showTask(c, ms)
      if (isRefusal(shown)) return problem(shown)
      return c.json(shown, 200, shown.task.status === 'pending' && wait === undefined ? { 'retry-after': '5' } : {})
    },
  )
  .get(
    '/access/v1/requests/:task/socket',
    describeRoute({
      summary: 'A WebSocket that says when it is over',
      responses: { 101: { description: 'Messages hold the task' }, ...problems(401, 403, 404, 410) },
    }),
    looking,
    async c => {
      const found = await taskAt(c)
      if (isRefusal(found)) return problem(found)
      const headers = { upgrade: c.req.header('upgrade') ?? '' }
      const { status, webSocket } = await escalationAt(c, found.open.task).fetch(new Request(c.req.url, { headers }))
      // A response of another object can't take the headers that all responses get.
      return new Response(null, { status, webSocket })
    },
  )
  .post('/access/v1/requests/:task/cancel', ...cancelling('Withdraw it'))
  .delete('/access/v1/requests/:task/cancel', ...cancelling('The same'))

function cancelling(summary: string) {
  const route = describeRoute({
    summary,
    responses: { 200: json('The task', Task), ...problems(400, 401, 403, 404, 409, 410) },
  })
  return [route, authenticated(['agent', 'pep', 'admin']), cancel] as const
}

async function cancel(c: Context<AppEnv>): Promise<Response> {
  const body = c.req.raw.body === null || c.req.header('content-length') === '0' ? { value: {} } : await readBody(c)
  if (isRefusal(body)) return problem(body)
  const why = read(Cancel, body.value)
  if (isRefusal(why)) return problem(why)
  const { reason, comment } = why
  const call: CancelCall = {
    v: 1,
    by: c.var.session.caller.name,
    at: c.var.now,
    ...(reason !== undefined && { reason }),
    ...(comment !== undefined && { comment }),
  }
  const bundle = await bundleOf(c)
  if (bundle) return isRefusal(bundle) ? problem(bundle) : cancelAll(c, bundle, call)
  const found = await taskAt(c)
  if (isRefusal(found)) return problem(found)
  const stub = escalationAt(c, found.open.task)
  const reply = await stub.cancel(call)
  if (reply.kind === 'refused') return problem(refusal(reply.reason === 'unknown_task' ? 404 : 409, reply.reason))
  return c.json(await show(c, (await stub.state()) ?? found))
}

export const escalationAt = (c: Context<AppEnv>, task: string) =>
  c.env.ESCALATION.getByName(nameOf('escalation', c.var.place.tenant, task))

/** What stands at a task, whoever asks. */
export const stateAt = async (c: Context<AppEnv>, task: string): Promise<EscalationState | undefined> =>
  TASK.test(task) ? escalationAt(c, task).state() : undefined

const TASK = /^[\w-]{43}$/

const opened = async (c: Context<AppEnv>, call: OpenCall): Promise<EscalationState> =>
  escalationAt(c, call.task).open(call)

/** The bundle of the path; `undefined` where it names a single task. */
const bundleOf = async (c: Context<AppEnv>): Promise<EscalationState[] | Refusal | undefined> => {
  const task = c.req.param('task') ?? ''
  if (!BUNDLE.test(task)) return undefined
  const tasks = (await bundleAt(c.env.DB, c.var.place.tenant, task)) ?? []
  const states: EscalationState[] = []
  for (const state of await Promise.all(tasks.map(async one => escalationAt(c, one).state()))) {
    if (!state || !maySee(c, state)) return refusal(404, 'unknown_task')
    states.push(state)
  }
  if (states.length === 0) return refusal(404, 'unknown_task')
  return states.every(state => isGone(c, state)) ? refusal(410, 'task_expired') : states
}

const showBundle = async (c: Context<AppEnv>, states: EscalationState[]) => {
  const enforces = states.every(state => actsFor(c.var.session.caller, state))
  return bundleTask(c.req.param('task') ?? '', states, {
    identifier: identifierOf(c.var.place.tenant, c.env),
    ...(enforces && { signer: await signer(c.env) }),
  })
}

/** The bundle as it is once one of its items that wait now is over, or the time is. */
const nextOf = async (c: Context<AppEnv>, states: EscalationState[], ms: number): Promise<EscalationState[]> => {
  const waiting = states.filter(({ status }) => !isOver(status))
  if (waiting.length === 0) return states
  await Promise.race(waiting.map(({ open }) => escalationAt(c, open.task).settled({ ms })))
  const now = await bundleOf(c)
  return now && !isRefusal(now) ? now : states
}

/** Whatever still waits; what is over stays as it is. */
const cancelAll = async (c: Context<AppEnv>, states: EscalationState[], call: CancelCall): Promise<Response> => {
  const replies = await Promise.all(states.map(async ({ open }) => escalationAt(c, open.task).cancel(call)))
  if (replies.every(({ kind }) => kind === 'refused')) return problem(refusal(409, 'invalid_task_state'))
  const now = await bundleOf(c)
  return now && !isRefusal(now) ? c.json(await showBundle(c, now)) : problem(refusal(404, 'unknown_task'))
}

/** The task of the path, once it is over or the time is. */
const showTask = async (c: Context<AppEnv>, ms: number | undefined) => {
  const found = await taskAt(c)
  if (isRefusal(found)) return found
  const state = ms === undefined ? found : await escalationAt(c, found.open.task).settled({ ms })
  return show(c, state ?? found)
}

/** The task of the path, if this caller may deal with it. To all others there is none. */
const taskAt = async (c: Context<AppEnv>): Promise<EscalationState | Refusal> => {
  const state = await stateAt(c, c.req.param('task') ?? '')
  if (!state || !maySee(c, state)) return refusal(404, 'unknown_task')
  return isGone(c, state) ? refusal(410, 'task_expired') : state
}

const maySee = (c: Context<AppEnv>, state: EscalationState): boolean => {
  const { caller } = c.var.session
  return caller.roles.some(role => role === 'admin' || role === 'auditor') || actsFor(caller, state)
}

const isGone = (c: Context<AppEnv>, { handleUntil, status }: EscalationState): boolean =>
  c.var.now > handleUntil && status !== 'pending'

/** The result is for those who enforce it alone. */
const show = async (c: Context<AppEnv>, state: EscalationState) => {
  const identifier = identifierOf(c.var.place.tenant, c.env)
  if (!actsFor(c.var.session.caller, state)) return taskOf(state, { identifier })
  return taskOf(state, { identifier, signer: await signer(c.env) })
}

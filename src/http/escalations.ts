import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { Moment } from '../decision/moment.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { type Answered, answer } from '../escalation/answer.ts'
import { groupsOfApprover } from '../escalation/approver.ts'
import type { EscalationState } from '../escalation/call.ts'
import { sightOf } from '../escalation/sight.ts'
import { listed, loadSince } from '../escalation/store.ts'
import { uidText } from '../identity/uid.ts'
import { groupsOf } from '../policy/escalation.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { inQuery, json, jsonBody, problems } from './describe.ts'
import { EntityText } from './entity.ts'
import {
  EscalationAnswer,
  escalationAnswer,
  groupsIn,
  ListedAnswer,
  listedAnswer,
  statuses,
  statusShown,
} from './escalation-answer.ts'
import { readingOf } from './opened.ts'
import { problem } from './problem.ts'
import { escalationAt } from './requests.ts'
import { StandingChoice } from './standing.ts'
import { Time, timeText } from './time.ts'
import type { AppEnv } from './types.ts'

const VoteBody = v.strictObject({
  vote: v.picklist(['approve', 'reject']),
  reason: v.optional(v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(2_000))),
  standing: v.optional(StandingChoice),
  /** `digest` of what was shown: an approval counts only while that is still so. */
  shown: v.optional(v.pipe(v.string(), v.maxLength(64))),
})
type VoteBody = v.InferOutput<typeof VoteBody>

const Votes = v.strictObject({
  votes: v.pipe(v.array(v.strictObject({ ...VoteBody.entries, task: v.string() })), v.minLength(1), v.maxLength(50)),
})

const Load = v.strictObject({
  days: v.optional(
    v.pipe(v.string(), v.regex(/^([1-8]?\d|90)$/, '1 to 90'), v.transform(Number), v.minValue(1, '1 to 90')),
    '7',
  ),
})
const Query = v.strictObject({
  status: v.optional(v.picklist(statuses)),
  agent: v.optional(EntityText),
  before: v.optional(Moment),
  limit: v.optional(
    v.pipe(v.string(), v.regex(/^[1-9]\d{0,2}$/, '1 to 200'), v.transform(Number), v.maxValue(200, 'at most 200')),
    '50',
  ),
})

const Told = v.object({
  days: v.number(),
  decisions: v.number(),
  requests: v.number(),
  requests_per_100_decisions: v.number(),
  answered: v.number(),
  timed_out: v.number(),
  median_answer_ms: v.nullable(v.number()),
  /** Of the approvals, how many stand. */
  standing_share: v.number(),
})
/** `again`: this approver had said the same before. */
const Cast = v.object({ status: v.picklist(statuses), again: v.boolean() })
const Page = v.object({
  escalations: v.array(ListedAnswer),
  /** What to give as `before` for the next page. */
  next_before: v.optional(Time),
})

const answering = authenticated(['approver'])
const looking = authenticated(['approver', 'admin', 'auditor'])

/** What approvers see and say, and what those who look after them measure. */
export const escalations = new Hono<AppEnv>()
  .get(
    '/v1/escalations',
    describeRoute({
      summary: 'Requests for approval, newest first; approvers see those of their groups',
      parameters: inQuery(Query),
      responses: { 200: json('One page', Page), ...problems(400, 401, 403) },
    }),
    looking,
    async c => {
      const query = read(Query, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { status, agent, before, limit } = query
      const rows = await listed(c.env.DB, c.var.place.tenant, {
        limit,
        ...(status && { status }),
        ...(agent !== undefined && { agent }),
        ...(before !== undefined && { before: Date.parse(before) }),
      })
      const mine = groupsSeen(c)
      const seen = rows.filter(row => mine === 'all' || groupsIn(row).some(group => mine.includes(group)))
      const last = rows.length === limit ? rows.at(-1) : undefined
      return c.json({
        escalations: seen.map(listedAnswer),
        ...(last && { next_before: timeText(last.openedAt) }),
      } satisfies v.InferOutput<typeof Page>)
    },
  )
  .get(
    '/v1/escalations/load',
    describeRoute({
      summary: 'How much humans have to do: requests for 100 decisions, time to answer, share of standing approvals',
      parameters: inQuery(Load),
      responses: { 200: json('The load', Told), ...problems(400, 401, 403) },
    }),
    authenticated(['admin', 'auditor']),
    async c => {
      const query = read(Load, c.req.query())
      if (isRefusal(query)) return problem(query)
      const { days } = query
      return c.json({ days, ...(await loadSince(c.env.DB, c.var.place.tenant, c.var.now - days * 86_400_000)) })
    },
  )
  .post(
    '/v1/escalations/votes',
    describeRoute({
      summary: 'Answer several at once, each by its id and bound on its own',
      requestBody: jsonBody(Votes),
      responses: {
        200: json(
          'One result for each, in order',
          v.object({
            votes: v.array(
              v.union([
                v.object({ task: v.string(), ...Cast.entries }),
                v.object({ task: v.string(), error: v.string() }),
              ]),
            ),
          }),
        ),
        ...problems(400, 401, 403),
      },
    }),
    answering,
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const parsed = read(Votes, body.value)
      if (isRefusal(parsed)) return problem(parsed)
      const together = parsed.votes.length > 1
      const votes = await Promise.all(
        parsed.votes.map(async ({ task, ...given }) => {
          const result = await cast(c, task, given, together)
          return { task, ...(isRefusal(result) ? { error: result.reason } : result) }
        }),
      )
      return c.json({ votes })
    },
  )
  .get(
    '/v1/escalations/:task',
    describeRoute({
      summary: 'One request, with all that an approver needs to know',
      responses: { 200: json('The request', EscalationAnswer), ...problems(401, 403, 404) },
    }),
    looking,
    async c => {
      const state = await seenAt(c, c.req.param('task'))
      if (!state) return problem(refusal(404, 'unknown_task'))
      return c.json(escalationAnswer(state, await sightOf(state.open, readingOf(c, c.var.session.bundle))))
    },
  )
  .post(
    '/v1/escalations/:task/votes',
    describeRoute({
      summary: 'Approve or reject it',
      requestBody: jsonBody(VoteBody),
      responses: { 200: json('The status', Cast), ...problems(400, 401, 403, 404, 409) },
    }),
    answering,
    async c => {
      const body = await readBody(c)
      if (isRefusal(body)) return problem(body)
      const given = read(VoteBody, body.value)
      if (isRefusal(given)) return problem(given)
      const result = await cast(c, c.req.param('task'), given, false)
      return isRefusal(result) ? problem(result) : c.json(result)
    },
  )
  .post(
    '/v1/escalations/:task/revoke',
    describeRoute({
      summary: 'Take an approval back; what it let pass stays as it is',
      responses: {
        200: json('Whether it still stood', v.object({ revoked: v.boolean() })),
        ...problems(401, 403, 404, 409),
      },
    }),
    authenticated(['approver', 'admin']),
    async c => {
      const state = await seenAt(c, c.req.param('task'))
      if (!state) return problem(refusal(404, 'unknown_task'))
      if (!state.approval) return problem(refusal(409, 'invalid_task_state'))
      const stub = c.env.AGENT.getByName(state.open.object)
      return c.json(await stub.revoke({ approval: state.approval.id }))
    },
  )

/** Those who oversee see all; an approver what a group of theirs is asked. */
const groupsSeen = (c: Context<AppEnv>): string[] | 'all' => {
  const { caller, bundle } = c.var.session
  if (caller.roles.some(role => role === 'admin' || role === 'auditor')) return 'all'
  return caller.approver ? groupsOfApprover(caller.approver, bundle) : []
}

const TASK = /^[\w-]{43}$/

const seenAt = async (c: Context<AppEnv>, task: string): Promise<EscalationState | undefined> => {
  const state: EscalationState | undefined = TASK.test(task) ? await escalationAt(c, task).state() : undefined
  const mine = groupsSeen(c)
  if (!state || mine === 'all') return state
  return state.open.requirements.flatMap(groupsOf).some(group => mine.includes(group)) ? state : undefined
}

const cast = async (
  c: Context<AppEnv>,
  task: string,
  { vote, reason, standing, shown: seen }: VoteBody,
  together: boolean,
): Promise<v.InferOutput<typeof Cast> | Refusal> => {
  const { caller, bundle } = c.var.session
  if (!caller.approver) return refusal(403, 'not_an_approver')
  const state: EscalationState | undefined = TASK.test(task) ? await escalationAt(c, task).state() : undefined
  if (!state) return refusal(404, 'unknown_task')
  if (together && state.open.requirements.some(({ groupable }) => !groupable))
    return refusal(409, 'standing_refused', { detail: 'this one is answered alone' })
  const result = await answer(
    escalationAt(c, task),
    state,
    { uid: caller.approver, name: uidText(caller.approver), signedIn: true },
    {
      vote,
      ...(reason !== undefined && { reason }),
      ...(standing && { scope: standing }),
      ...(seen !== undefined && { shown: seen }),
    },
    readingOf(c, bundle),
  )
  return refusedAs(result) ?? { status: statusOf(result), again: result.ok && result.again }
}

const statusOf = (result: Answered): (typeof statuses)[number] => (result.ok ? statusShown(result.status) : 'pending')

export const refusedAs = (result: Answered): Refusal | undefined => {
  if (result.ok) return undefined
  switch (result.reason) {
    case 'unknown_task':
      return refusal(404, result.reason)
    case 'already_voted':
    case 'already_decided':
    case 'facts_changed':
      return refusal(409, result.reason)
    case 'reason_required':
    case 'standing_refused':
      return refusal(400, result.reason)
    default:
      return refusal(403, result.reason)
  }
}

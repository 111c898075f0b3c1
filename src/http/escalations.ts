import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { Moment } from '../decision/moment.ts'
import { isRefusal, refusal } from '../decision/refusal.ts'
import { groupsOfApprover } from '../escalation/approver.ts'
import type { EscalationState } from '../escalation/call.ts'
import { sightOf } from '../escalation/sight.ts'
import { listed, loadSince, type Place } from '../escalation/store.ts'
import { groupsOf } from '../policy/escalation.ts'
import { authenticated } from './authenticated.ts'
import { inQuery, json, problems } from './describe.ts'
import { EntityText } from './entity.ts'
import {
  EscalationAnswer,
  escalationAnswer,
  groupsIn,
  ListedAnswer,
  listedAnswer,
  statuses,
} from './escalation-answer.ts'
import { readingOf } from './opened.ts'
import { problem } from './problem.ts'
import { stateAt } from './requests.ts'
import { timeText } from './time.ts'
import type { AppEnv } from './types.ts'

const Load = v.strictObject({
  days: v.optional(
    v.pipe(v.string(), v.regex(/^([1-8]?\d|90)$/, '1 to 90'), v.transform(Number), v.minValue(1, '1 to 90')),
    '7',
  ),
})
/** A time, or a place in the list: a time and the task of it. */
const Before = v.pipe(
  v.string(),
  v.check(text => v.is(Moment, text.split(',')[0]), 'a time such as 2026-11-25T09:00:00Z, or what `next_before` said'),
  v.transform((text): Place => {
    const [time = '', task = ''] = text.split(',')
    return { at: Date.parse(time), task }
  }),
)
const Query = v.strictObject({
  status: v.optional(v.picklist(statuses)),
  agent: v.optional(EntityText),
  before: v.optional(Before),
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
const Page = v.object({
  escalations: v.array(ListedAnswer),
  /** What to give as `before` for the next page. */
  next_before: v.optional(v.string()),
})

const looking = authenticated(['approver', 'admin', 'auditor'])

/** What approvers see, and what those who look after them measure. */
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
        ...(before && { before }),
      })
      const mine = groupsSeen(c)
      const seen = rows.filter(row => mine === 'all' || groupsIn(row).some(group => mine.includes(group)))
      const last = rows.length === limit ? rows.at(-1) : undefined
      return c.json({
        escalations: seen.map(listedAnswer),
        ...(last && { next_before: `${timeText(last.openedAt)},${last.task}` }),
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

/** Those who oversee see all; an approver what a group of theirs is asked. */
const groupsSeen = (c: Context<AppEnv>): string[] | 'all' => {
  const { caller, bundle } = c.var.session
  if (caller.roles.some(role => role === 'admin' || role === 'auditor')) return 'all'
  return caller.approver ? groupsOfApprover(caller.approver, bundle) : []
}

/** What stands at a task, for those who may see it. */
export const seenAt = async (c: Context<AppEnv>, task: string): Promise<EscalationState | undefined> => {
  const state = await stateAt(c, task)
  const mine = groupsSeen(c)
  if (!state || mine === 'all') return state
  return state.open.requirements.flatMap(groupsOf).some(group => mine.includes(group)) ? state : undefined
}

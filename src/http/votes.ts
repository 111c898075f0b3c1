import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { type Answered, answer } from '../escalation/answer.ts'
import { uidText } from '../identity/uid.ts'
import { authenticated } from './authenticated.ts'
import { readBody } from './body.ts'
import { json, jsonBody, problems } from './describe.ts'
import { statuses, statusShown } from './escalation-answer.ts'
import { seenAt } from './escalations.ts'
import { readingOf } from './opened.ts'
import { problem } from './problem.ts'
import { escalationAt, stateAt } from './requests.ts'
import { StandingChoice } from './standing.ts'
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

/** `again`: this approver had said the same before. */
const Cast = v.object({ status: v.picklist(statuses), again: v.boolean() })

const answering = authenticated(['approver'])

/** What approvers say: their answers, one or several at once, and that they take one back. */
export const votes = new Hono<AppEnv>()
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

const cast = async (
  c: Context<AppEnv>,
  task: string,
  { vote, reason, standing, shown: seen }: VoteBody,
  together: boolean,
): Promise<v.InferOutput<typeof Cast> | Refusal> => {
  const { caller, bundle } = c.var.session
  if (!caller.approver) return refusal(403, 'not_an_approver')
  const state = await stateAt(c, task)
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

const refusedAs = (result: Answered): Refusal | undefined => {
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

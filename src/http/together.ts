import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { reasons } from '../decision/reasons.ts'
import { type Answered, answer } from '../escalation/answer.ts'
import { groupsOfApprover } from '../escalation/approver.ts'
import type { EscalationState, OpenCall } from '../escalation/call.ts'
import { sightOf } from '../escalation/sight.ts'
import { waitingLike } from '../escalation/store.ts'
import { type TogetherView, togetherPage } from '../escalation/together-page.ts'
import { uidText } from '../identity/uid.ts'
import { groupsOf } from '../policy/escalation.ts'
import { formOf, HEADERS, type Opened, openedBy, readingOf } from './opened.ts'
import { escalationAt } from './requests.ts'
import type { AppEnv } from './types.ts'

/** On one page. */
const MOST = 20

/**
 * Requests like the one that a link opens, answered with it. Each answer is one of its own, for exactly what was shown
 * of that request; whatever becomes of one, the others stand. A link that speaks for a person does so here for what that
 * person was sent as well, and until it was used.
 */
export const together = new Hono<AppEnv>()
  .get('/approvals/:link/like', describeRoute({ hide: true }), async c => {
    const found = await openedBy(c)
    if ('refused' in found) return found.refused
    return isPersonal(found) ? show(c, found, []) : backToOne(c)
  })
  .post('/approvals/:link/like', describeRoute({ hide: true }), async c => {
    const found = await openedBy(c)
    if ('refused' in found) return found.refused
    if (!isPersonal(found)) return backToOne(c)
    const form = await formOf(c)
    const given = form && [...form].flatMap(([name, vote]) => answerIn(name, vote, form))
    if (!given || given.length === 0 || given.length > MOST) return show(c, found, [], 400)
    const reason = String(form.get('reason') ?? '')
      .trim()
      .slice(0, 2_000)
    const results = await Promise.all(given.map(one => cast(c, found, one, reason)))
    return show(c, found, results, results.some(({ problem }) => problem !== undefined) ? 409 : 200)
  })

/** Other requests like this one that the same person may answer here and now. */
export const othersLike = async (c: Context<AppEnv>, found: Personal): Promise<EscalationState[]> => {
  const { open } = found.state
  if (isUsed(found) || !open.requirements.every(({ groupable }) => groupable)) return []
  const tasks = await waitingLike(c.env.DB, open, c.var.now, MOST)
  const states: (EscalationState | undefined)[] = await Promise.all(
    tasks.filter(task => task !== open.task).map(async task => escalationAt(c, task).state()),
  )
  return states
    .filter(state => state !== undefined)
    .filter(state => state.status === 'pending' && !hasAnswered(state, found) && isTheirs(state.open, found))
    .slice(0, MOST - 1)
}

type Personal = Opened & Required<Pick<Opened, 'person'>>
type Given = { task: string; vote: 'approve' | 'reject'; shown: string }
type Result = TogetherView['results'][number]

const isPersonal = (found: Opened): found is Personal => found.person !== undefined

const backToOne = (c: Context<AppEnv>): Response =>
  c.body(null, 303, { ...HEADERS, location: c.req.url.replace(/\/like$/, '') })

const TASK = /^vote:([\w-]{43})$/

const answerIn = (name: string, vote: string | File, form: FormData): Given[] => {
  const [, task] = TASK.exec(name) ?? []
  if (task === undefined || (vote !== 'approve' && vote !== 'reject')) return []
  return [{ task, vote, shown: String(form.get(`shown:${task}`) ?? '') }]
}

const cast = async (
  c: Context<AppEnv>,
  found: Personal,
  { task, vote, shown }: Given,
  reason: string,
): Promise<Result> => {
  const { person, signedIn, bundle } = found
  const at = c.var.now
  try {
    const stub = escalationAt(c, task)
    const state: EscalationState | undefined = await stub.state()
    if (!state || state.open.like !== found.state.open.like) return { task, at, problem: reasons.unknown_task }
    const { open } = state
    // The link of a request that was answered before speaks for no other.
    const speaks = task === found.state.open.task || (!isUsed(found) && isTheirs(open, found))
    if (!speaks) return { task, at: open.at, problem: reasons.link_refused }
    const result: Answered = await answer(
      stub,
      state,
      { uid: person, name: uidText(person), signedIn },
      { vote, shown, ...(reason !== '' && { reason }) },
      readingOf(c, bundle),
    )
    return { task, at: open.at, ...(result.ok ? { status: result.status } : { problem: reasons[result.reason] }) }
  } catch (error) {
    console.error('an answer was not taken:', error)
    return { task, at, problem: reasons.control_unreachable }
  }
}

/** Whether a person may answer a request here: all of its policies let it be answered with others, and it was sent to them. */
const isTheirs = ({ requirements, notify, barred }: OpenCall, { person, signedIn, bundle }: Personal): boolean => {
  const name = uidText(person)
  const groups = groupsOfApprover(person, bundle)
  const sent = Object.values(notify).some(targets =>
    targets.some(({ approver }) => approver !== undefined && uidText(approver) === name),
  )
  return (
    requirements.every(({ groupable, signIn }) => groupable && (signedIn || !signIn)) &&
    requirements.flatMap(groupsOf).some(group => groups.includes(group)) &&
    !barred.includes(name) &&
    (signedIn || sent)
  )
}

const hasAnswered = ({ votes }: EscalationState, { person }: Personal): boolean =>
  votes.some(({ approver }) => approver === uidText(person))

/** Whoever signed in doesn't need the link. */
const isUsed = (found: Personal): boolean =>
  !found.signedIn && (hasAnswered(found.state, found) || found.state.status !== 'pending')

const show = async (
  c: Context<AppEnv>,
  found: Personal,
  results: Result[],
  status: 200 | 400 | 409 = 200,
): Promise<Response> => {
  const fresh: EscalationState | undefined = await escalationAt(c, found.state.open.task).state()
  const now = { ...found, state: fresh ?? found.state }
  const own = now.state.status === 'pending' && !hasAnswered(now.state, now) && isTheirs(now.state.open, now)
  const states = [...(own ? [now.state] : []), ...(await othersLike(c, now))]
  const waiting = await Promise.all(
    states.map(async state => ({ state, ...(await sightOf(state.open, readingOf(c, found.bundle))) })),
  )
  const view = { approver: uidText(found.person), waiting, results, used: isUsed(now) }
  return c.html(togetherPage(view), status, HEADERS)
}

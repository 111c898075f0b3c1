import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { receiptsOf } from '../audit/store.ts'
import type { Intent } from '../decision/intent.ts'
import { reasons } from '../decision/reasons.ts'
import { type Answered, answer } from '../escalation/answer.ts'
import { page } from '../escalation/page.ts'
import { sightOf } from '../escalation/sight.ts'
import { choiceIn, standingOffer } from '../escalation/standing-form.ts'
import { listed } from '../escalation/store.ts'
import { uidText } from '../identity/uid.ts'
import { formOf, HEADERS, type Opened, openedBy, readingOf } from './opened.ts'
import { escalationAt } from './requests.ts'
import { othersLike } from './together.ts'
import type { AppEnv } from './types.ts'

const SHOWN = 8

/**
 * The page that a link opens. Looking at it never decides anything: scanners follow links too. Who answers is the person
 * whom the link was sent to, or who signed in (Cloudflare Access, or a bearer token of an issuer that gives the role).
 */
export const approvals = new Hono<AppEnv>()
  .get('/approvals/:link', describeRoute({ hide: true }), async c => {
    const found = await openedBy(c)
    return 'refused' in found ? found.refused : show(c, found)
  })
  .post('/approvals/:link', describeRoute({ hide: true }), async c => {
    const found = await openedBy(c)
    if ('refused' in found) return found.refused
    const { state, bundle, person, signedIn } = found
    if (!person) return show(c, found, 403, reasons.sign_in_required)
    const form = await formOf(c)
    const vote = form?.get('vote')
    const choice = form && vote === 'approve' ? choiceIn(form) : {}
    if (!form || (vote !== 'approve' && vote !== 'reject') || !choice)
      return show(c, found, 400, 'The form was not filled in so that it says something.')
    const shown = form.get('shown')
    const reason = String(form.get('reason') ?? '')
      .trim()
      .slice(0, 2_000)
    const result: Answered = await answer(
      escalationAt(c, state.open.task),
      state,
      { uid: person, name: uidText(person), signedIn },
      { vote, ...(reason !== '' && { reason }), ...choice, ...(typeof shown === 'string' && { shown }) },
      readingOf(c, bundle),
    )
    if (!result.ok) return show(c, found, 409, reasons[result.reason])
    // The answer is shown by a GET, so that going back and again doesn't send it twice.
    return c.body(null, 303, { ...HEADERS, location: c.req.url })
  })

const show = async (
  c: Context<AppEnv>,
  { state, person, signedIn, bundle }: Opened,
  status: 200 | 400 | 403 | 409 = 200,
  problem?: string,
): Promise<Response> => {
  const { open } = state
  const { tenant } = c.var.place
  const { action }: Intent = JSON.parse(open.intent)
  const [others, { factsNow, digest }, receipts, like] = await Promise.all([
    person && othersLike(c, { state, person, signedIn, bundle }),
    sightOf(open, readingOf(c, bundle)),
    receiptsOf(c.env.DB, tenant, { agent: open.recordAs ?? open.agent }, { limit: 50 }),
    listed(c.env.DB, tenant, { agent: open.agent, action, limit: SHOWN + 1 }),
  ])
  const mustSignIn = open.requirements.some(({ signIn }) => signIn) && !signedIn
  const standing = standingOffer(open)
  const view = {
    state,
    ...(person && !mustSignIn && { approver: uidText(person) }),
    ...(problem !== undefined && { problem }),
    ...(standing && { standing }),
    factsNow,
    digest,
    ...(others && others.length > 0 && { together: { others: others.length, href: `${c.req.url}/like` } }),
    before: (receipts?.receipts ?? [])
      .filter(({ body, kind }) => kind === 'decision' && open.session !== undefined && body.session === open.session)
      .slice(0, SHOWN),
    like: like.filter(({ task }) => task !== open.task).slice(0, SHOWN),
  }
  return c.html(page(view), status, HEADERS)
}

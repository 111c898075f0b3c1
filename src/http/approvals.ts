import { type Context, Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import { receiptsOf } from '../audit/store.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { Intent } from '../decision/intent.ts'
import { reasons } from '../decision/reasons.ts'
import { type Answered, answer } from '../escalation/answer.ts'
import type { EscalationState } from '../escalation/call.ts'
import { type Link, readLink } from '../escalation/link.ts'
import { CONTENT_SECURITY_POLICY, notice, page } from '../escalation/page.ts'
import { choiceIn, standingOffer } from '../escalation/standing-form.ts'
import { listed } from '../escalation/store.ts'
import { uidText } from '../identity/uid.ts'
import { authenticate } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { sourceIo, verificationOf } from './authenticated.ts'
import { escalationAt } from './requests.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

const SHOWN = 8
const FORM_BYTES = 16 * 1024

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
    const reason = String(form.get('reason') ?? '')
      .trim()
      .slice(0, 2_000)
    const result: Answered = await answer(
      escalationAt(c, state.open.task),
      state,
      { uid: person, name: uidText(person), signedIn },
      { vote, ...(reason !== '' && { reason }), ...choice },
      { bundle, now: c.var.now },
    )
    if (!result.ok) return show(c, found, 409, reasons[result.reason])
    // The answer is shown by a GET, so that going back and again doesn't send it twice.
    return c.body(null, 303, { ...HEADERS, location: c.req.url })
  })

type Opened = { state: EscalationState; bundle: LoadedBundle; person?: EntityUid; signedIn: boolean }

const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'referrer-policy': 'no-referrer',
  'x-robots-tag': 'noindex',
  'cache-control': 'no-store',
}

const openedBy = async (c: Context<AppEnv>): Promise<Opened | { refused: Response }> => {
  const { place, now, parts } = c.var
  const tenant = identifierOf(place.tenant, c.env)
  const refused = async (status: 403 | 404 | 503, text: string) => ({
    refused: await c.html(notice('This link does not open', text), status, HEADERS),
  })
  const link = await readLink(c.env, c.req.param('link') ?? '', { tenant, now })
  if (!link) return refused(403, reasons.link_refused)
  const found = await parts.source.current(place.tenant, sourceIo(c))
  if (!found.ok) return refused(503, reasons[found.reason])
  const state: EscalationState | undefined = await escalationAt(c, link.task).state()
  if (!state) return refused(404, reasons.unknown_task)
  const person = await personOf(c, link, found.bundle)
  if (person === 'other') return refused(403, 'You are signed in as someone else than this link was sent to.')
  return { state, bundle: found.bundle, ...person }
}

const personOf = async (
  c: Context<AppEnv>,
  link: Link,
  bundle: LoadedBundle,
): Promise<{ person?: EntityUid; signedIn: boolean } | 'other'> => {
  const assertion = c.req.header('cf-access-jwt-assertion')
  const authorization = assertion === undefined ? c.req.header('authorization') : `Bearer ${assertion}`
  // A browser makes no proofs, so a token that is bound to a key counts for nothing here.
  const { call: _, ...verification } = verificationOf(c, bundle)
  const result = await authenticate(authorization, bundle.settings.issuers, verification)
  const person = result.ok && result.caller.roles.includes('approver') ? result.caller.approver : undefined
  if (person && link.approver && uidText(person) !== uidText(link.approver)) return 'other'
  if (person) return { person, signedIn: true }
  return { ...(link.approver && { person: link.approver }), signedIn: false }
}

const show = async (
  c: Context<AppEnv>,
  { state, person, signedIn }: Opened,
  status: 200 | 400 | 403 | 409 = 200,
  problem?: string,
): Promise<Response> => {
  const { open } = state
  const { tenant } = c.var.place
  const { action }: Intent = JSON.parse(open.intent)
  const [receipts, like] = await Promise.all([
    receiptsOf(c.env.DB, tenant, { agent: open.agent }, { limit: 50 }),
    listed(c.env.DB, tenant, { agent: open.agent, action, limit: SHOWN + 1 }),
  ])
  const mustSignIn = open.requirements.some(({ signIn }) => signIn) && !signedIn
  const standing = standingOffer(open)
  const view = {
    state,
    ...(person && !mustSignIn && { approver: uidText(person) }),
    ...(problem !== undefined && { problem }),
    ...(standing && { standing }),
    before: (receipts?.receipts ?? [])
      .filter(({ body, kind }) => kind === 'decision' && open.session !== undefined && body.session === open.session)
      .slice(0, SHOWN),
    like: like.filter(({ task }) => task !== open.task).slice(0, SHOWN),
  }
  return c.html(page(view), status, HEADERS)
}

const formOf = async (c: Context<AppEnv>): Promise<FormData | undefined> => {
  const type = c.req.header('content-type')?.split(';', 1)[0]?.trim()
  const length = Number(c.req.header('content-length') ?? Number.NaN)
  if (type !== 'application/x-www-form-urlencoded' || !(length <= FORM_BYTES)) return undefined
  const form = new FormData()
  for (const [name, value] of new URLSearchParams(await c.req.text())) form.append(name, value)
  return form
}

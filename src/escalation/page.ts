import { html } from 'hono/html'
import type { Recorded } from '../audit/store.ts'
import type { ShownFact } from '../facts/shown.ts'
import { uidText } from '../identity/uid.ts'
import type { EscalationState } from './call.ts'
import { document } from './document.ts'
import { requestSections } from './request-sections.ts'
import { type StandingOffer, standingFields } from './standing-form.ts'
import type { Listed } from './store.ts'
import { type Html, time, visible } from './text.ts'

/**
 * The approver's page: who asks for whom, exactly what, what stopped it, and what went before. Plain HTML, no script.
 * Whatever agents or servers wrote stands in a box that says so, with characters that hide made visible.
 */
export type View = {
  state: EscalationState
  /** Who may answer here; absent where the reader must sign in first. */
  approver?: string
  /** Why nobody can answer here. */
  problem?: string
  standing?: StandingOffer
  /** What is known by now of what the denied evaluation relied upon. */
  factsNow: ShownFact[]
  /** Names what is shown. */
  digest: string
  /** What the agent did in this session, newest first. */
  before: Recorded[]
  /** Requests like it, newest first. */
  like: Listed[]
  /** How many like it wait too, and where all can be answered together. */
  together?: { others: number; href: string }
}

export const page = (view: View): Html => {
  const { state } = view
  const { status } = state
  if (state.erasedAt !== undefined) return document('Request for approval', erased(state))
  const answered = state.votes.find(({ approver }) => approver === view.approver)
  // A link that was used, and one of a request that is over, tell how it ended and nothing more.
  if (answered || (status !== 'pending' && status !== 'approving')) return document('Request for approval', ended(view))
  return document(
    'Request for approval',
    html`<h1>An agent asks for approval</h1>
      ${view.problem === undefined ? '' : html`<p role="alert" class="problem">${view.problem}</p>`}
      ${requestSections(state, view.factsNow)}
      ${before(view)} ${like(view)}

      <section aria-labelledby="answer">
        <h2 id="answer">Your answer</h2>
        ${
          view.together
            ? html`<p>
                <a href="${view.together.href}">Answer it together with ${view.together.others} more like it</a>
              </p>`
            : ''
        }
        ${view.approver === undefined ? html`<p>Sign in to answer: this link only shows the request.</p>` : form(view)}
      </section>`,
  )
}

const form = ({ approver, standing, state, digest }: View): Html => {
  const reasoned = state.open.requirements.some(({ approverReason }) => approverReason)
  // Pressing Enter in a field presses a form's first button: here that is one that does nothing.
  return html`<form method="post">
    <button disabled hidden></button>
    <input type="hidden" name="shown" value="${digest}" />
    <p>You answer as <code>${visible(approver ?? '')}</code>. It covers exactly what stands above, as far as you let it reach.</p>
    ${standing ? standingFields(standing) : ''}
    <label for="reason">Reason ${reasoned ? '(needed)' : '(for the record)'}</label>
    <textarea id="reason" name="reason" rows="3" maxlength="2000" ${reasoned ? 'required' : ''}></textarea>
    <div class="buttons">
      <button name="vote" value="approve" class="approve">Approve</button>
      <button name="vote" value="reject" class="reject">Reject</button>
    </div>
  </form>`
}

/** How a request ended, and no more of it. */
const ended = ({ state, approver }: View): Html => {
  const mine = state.votes.find(vote => vote.approver === approver)
  return html`<h1>${OUTCOMES[state.status]}</h1>
    ${mine ? html`<p>You answered: ${mine.vote === 'approve' ? 'approve' : 'reject'}, at ${time(mine.at)}.</p>` : ''}
    <p>This link has done its work. Request <code>${state.open.task.slice(0, 8)}…</code></p>`
}

/** What it was about nobody can see any more. */
const erased = ({ status, erasedAt = 0, open }: EscalationState): Html =>
  html`<h1>${OUTCOMES[status]}</h1>
    <p>What this request was about was erased at ${time(erasedAt)}. It can no longer be looked at or answered.</p>
    <p>Request <code>${open.task.slice(0, 8)}…</code></p>`

export const OUTCOMES = {
  pending: 'Your answer is recorded; others are still asked',
  approving: 'Approved; it is being delivered',
  approved: 'Approved',
  denied: 'Rejected',
  expired: 'Nobody answered in time',
  cancelled: 'Withdrawn',
  failed: 'It failed',
} as const

const before = ({ before: receipts, state }: View): Html =>
  html`<section aria-labelledby="before">
    <h2 id="before">Before, in this session</h2>
    ${
      receipts.length === 0
        ? html`<p>${state.open.session === undefined ? 'The agent named no session.' : 'Nothing on record yet.'}</p>`
        : html`<ul>
            ${receipts.map(receipt => html`<li>${time(receipt.at)} ${deed(receipt)}</li>`)}
          </ul>`
    }
  </section>`

const deed = ({ body, secrets }: Recorded): Html => {
  const decision = isRecord(body.decision) ? body.decision : {}
  // Of what the tenant marks as personal the page holds no key.
  const resource = secrets.resource && 'value' in secrets.resource ? secrets.resource.value : undefined
  const named = isRecord(resource) ? uidText({ type: String(resource.type), id: String(resource.id) }) : 'something'
  return html`<code>${visible(String(body.action))}</code> on <code>${visible(named)}</code>:
    ${String(decision.outcome)}, ${String(decision.reason)}`
}

const like = ({ like: rows }: View): Html =>
  html`<section aria-labelledby="like">
    <h2 id="like">Requests like it</h2>
    ${
      rows.length === 0
        ? html`<p>None before.</p>`
        : html`<ul>
            ${rows.map(
              ({ openedAt, resource, status }) =>
                html`<li>${time(openedAt)} <code>${visible(resource)}</code>: ${status}</li>`,
            )}
          </ul>`
    }
  </section>`

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

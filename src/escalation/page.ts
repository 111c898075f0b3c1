import { createHash } from 'node:crypto'
import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { Recorded } from '../audit/store.ts'
import type { Ask } from '../decision/ask.ts'
import { uidText } from '../identity/uid.ts'
import type { EscalationState, Widening } from './call.ts'
import { type StandingOffer, standingFields } from './standing-form.ts'
import type { Listed } from './store.ts'
import { STYLE } from './style.ts'
import { progressOf } from './vote.ts'
import { wideningSection } from './widening.ts'

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
  /** What the agent did in this session, newest first. */
  before: Recorded[]
  /** Requests like it, newest first. */
  like: Listed[]
}

type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** Nothing is loaded from anywhere, nothing runs, and nobody may frame it. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const page = (view: View): Html => {
  const { state } = view
  const { open, status } = state
  const answered = state.votes.find(({ approver }) => approver === view.approver)
  // A link that was used, and one of a request that is over, tell how it ended and nothing more.
  if (answered || (status !== 'pending' && status !== 'approving')) return document('Request for approval', ended(view))
  const ask: Ask = JSON.parse(open.ask)
  const widening: Widening | undefined = open.widening === undefined ? undefined : JSON.parse(open.widening)
  const { user = widening?.user, chain } = open.principals
  const { approvals } = progressOf(state)
  return document(
    'Request for approval',
    html`<h1>An agent asks for approval</h1>
      ${view.problem === undefined ? '' : html`<p role="alert" class="problem">${view.problem}</p>`}
      <dl>
        <dt>Agent</dt>
        <dd><code>${visible(open.agent)}</code></dd>
        ${chain.length === 0 ? '' : html`<dt>On behalf of</dt><dd><code>${chain.map(uidText).map(visible).join(', ')}</code></dd>`}
        ${user ? html`<dt>For the user</dt><dd><code>${visible(uidText(user))}</code></dd>` : ''}
        <dt>Wants to</dt>
        <dd>
          ${
            widening
              ? html`give a task, and authority for it, to <code>${visible(uidText(widening.child))}</code>`
              : html`<code>${visible(ask.action.name)}</code> on <code>${visible(uidText(ask.resource))}</code>`
          }
        </dd>
        <dt>Asked by</dt>
        <dd><code>${visible(open.requester)}</code> at ${time(open.at)}</dd>
        <dt>Until</dt>
        <dd>${time(open.expiresAt)}; then it is denied</dd>
      </dl>

      <section aria-labelledby="arguments">
        <h2 id="arguments">Exactly these arguments</h2>
        <div class="theirs">
          <p class="label">Written by the agent</p>
          <pre tabindex="0">${visible(JSON.stringify(ask.action.properties ?? {}, null, 2))}</pre>
        </div>
        ${
          open.justification === undefined
            ? ''
            : html`<div class="theirs">
                <p class="label">The requester says</p>
                <pre tabindex="0">${visible(open.justification)}</pre>
              </div>`
        }
        ${stated(ask)}
      </section>

      ${widening ? wideningSection(widening, visible) : ''}

      <section aria-labelledby="policies">
        <h2 id="policies">What stopped it</h2>
        ${open.requirements.map(
          ({ policy, text, doc, group }, index) =>
            html`<h3><code>${policy}</code></h3>
              ${doc === undefined ? '' : html`<p>${doc}</p>`}
              <pre tabindex="0">${text}</pre>
              <p>
                ${group}: ${approvals[index]?.given ?? 0} of ${approvals[index]?.needed ?? 1}
                ${approvals[index]?.needed === 1 ? 'approval' : 'approvals'}
              </p>`,
        )}
      </section>

      ${before(view)} ${like(view)}

      <section aria-labelledby="answer">
        <h2 id="answer">Your answer</h2>
        ${view.approver === undefined ? html`<p>Sign in to answer: this link only shows the request.</p>` : form(view)}
      </section>`,
  )
}

/** A page that says one thing. */
export const notice = (title: string, text: string): Html => document(title, html`<h1>${title}</h1><p>${text}</p>`)

const form = ({ approver, standing, state }: View): Html => {
  const reasoned = state.open.requirements.some(({ approverReason }) => approverReason)
  // Pressing Enter in a field presses a form's first button: here that is one that does nothing.
  return html`<form method="post">
    <button disabled hidden></button>
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

const ended = ({ state, approver }: View): Html => {
  const mine = state.votes.find(vote => vote.approver === approver)
  return html`<h1>${OUTCOMES[state.status]}</h1>
    ${mine ? html`<p>You answered: ${mine.vote === 'approve' ? 'approve' : 'reject'}, at ${time(mine.at)}.</p>` : ''}
    <p>This link has done its work. Request <code>${state.open.task.slice(0, 8)}…</code></p>`
}

const OUTCOMES = {
  pending: 'Your answer is recorded; others are still asked',
  approving: 'Approved; it is being delivered',
  approved: 'Approved',
  denied: 'Rejected',
  expired: 'Nobody answered in time',
  cancelled: 'Withdrawn',
  failed: 'It failed',
} as const

/** What the caller stated beside the arguments: properties and context, its words too. */
const stated = ({ subject, resource, context }: Ask): Html | '' => {
  const { approval: _, business_justification: __, ...rest } = context ?? {}
  const said = {
    ...(subject.properties && { subject: subject.properties }),
    ...(resource.properties && { resource: resource.properties }),
    ...(Object.keys(rest).length > 0 && { context: rest }),
  }
  if (Object.keys(said).length === 0) return ''
  return html`<div class="theirs">
    <p class="label">Stated by the caller</p>
    <pre tabindex="0">${visible(JSON.stringify(said, null, 2))}</pre>
  </div>`
}

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

const document = (title: string, content: Html): Html =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Countersign</title>
        ${styleElement}
      </head>
      <body>
        <header><p>Countersign</p></header>
        <main>${content}</main>
      </body>
    </html>`

const time = (ms: number): Html => {
  const iso = new Date(ms).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`
}

/** Characters that turn text around, or aren't seen, are written as what they are. */
const visible = (text: string): string =>
  text.replace(/[\p{Cf}\p{Cc}\p{Co}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, character =>
    character === '\n' || character === '\t'
      ? character
      : `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`,
  )

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const styleElement = styled()
function styled(): HtmlEscapedString {
  const element: HtmlEscapedString = Object.assign(`<style>${STYLE}</style>`, { isEscaped: true as const })
  return element
}

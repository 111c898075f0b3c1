import { html } from 'hono/html'
import type { ShownFact } from '../facts/shown.ts'
import type { EscalationState, Status } from './call.ts'
import { document } from './document.ts'
import { OUTCOMES } from './page.ts'
import { requestSections } from './request-sections.ts'
import { type Html, time, visible } from './text.ts'

/** Requests like each other on one page: each is shown exactly, and answered by itself or left alone. */
export type TogetherView = {
  approver: string
  waiting: { state: EscalationState; factsNow: ShownFact[]; digest: string }[]
  /** What became of those that were answered just now, by their tasks: the status, or why it wasn't taken. */
  results: { task: string; at: number; status?: Status; problem?: string }[]
  /** The link has done its work: what still waits is answered by its own. */
  used: boolean
}

export const togetherPage = (view: TogetherView): Html => {
  const { results, waiting, used } = view
  const failed = results.some(({ problem }) => problem !== undefined)
  return document(
    'Requests for approval',
    html`<h1>${titleOf(view)}</h1>
      ${
        results.length === 0
          ? ''
          : html`<section aria-labelledby="results">
              <h2 id="results">Your answers</h2>
              ${failed ? html`<p role="alert" class="problem">Not all of them were taken.</p>` : ''}
              <ul>
                ${results.map(
                  ({ task, at, status, problem }) =>
                    html`<li>
                      Request <code>${task.slice(0, 8)}…</code> of ${time(at)}:
                      ${status ? OUTCOMES[status] : html`<strong>not taken. ${problem}</strong>`}
                    </li>`,
                )}
              </ul>
            </section>`
      }
      ${used || waiting.length === 0 ? html`<p>${LEFT}</p>` : form(view)}`,
  )
}

const LEFT = 'This link has done its work. What still waits is answered by the link of its own message.'

const titleOf = ({ waiting, used }: TogetherView): string =>
  used || waiting.length === 0
    ? 'Answered'
    : `${waiting.length} ${waiting.length === 1 ? 'request waits' : 'requests like each other wait'}`

const form = ({ approver, waiting }: TogetherView): Html => {
  const reasoned = waiting.some(({ state }) => state.open.requirements.some(({ approverReason }) => approverReason))
  return html`<p>
      You answer as <code>${visible(approver)}</code>. Each answer covers exactly what stands above it; what you leave alone
      goes on waiting.
    </p>
    <form method="post">
      <button disabled hidden></button>
      ${waiting.map((one, index) => item(one, index, waiting.length))}
      <label for="reason">Reason for all that you answer ${reasoned ? '(needed)' : '(for the record)'}</label>
      <textarea id="reason" name="reason" rows="3" maxlength="2000" ${reasoned ? 'required' : ''}></textarea>
      <div class="buttons"><button class="approve">Send the answers</button></div>
    </form>`
}

const item = ({ state, factsNow, digest }: TogetherView['waiting'][number], index: number, count: number): Html => {
  const { task } = state.open
  const name = `Request ${index + 1} of ${count}`
  return html`<article aria-labelledby="request-${index}">
    <h2 id="request-${index}">${name} <code>${task.slice(0, 8)}…</code></h2>
    ${requestSections(state, factsNow, `-${index}`)}
    <fieldset>
      <legend>Your answer to ${name.toLowerCase()}</legend>
      <input type="hidden" name="shown:${task}" value="${digest}" />
      <label><input type="radio" name="vote:${task}" value="" checked /> Leave it</label>
      <label><input type="radio" name="vote:${task}" value="approve" /> Approve</label>
      <label><input type="radio" name="vote:${task}" value="reject" /> Reject</label>
    </fieldset>
  </article>`
}

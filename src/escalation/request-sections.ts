import { html } from 'hono/html'
import type { Ask } from '../decision/ask.ts'
import type { ShownFact } from '../facts/shown.ts'
import { uidText } from '../identity/uid.ts'
import type { EscalationState, Widening } from './call.ts'
import { factsSection } from './facts-section.ts'
import { factsAsked } from './sight.ts'
import { type Html, time, visible } from './text.ts'
import { progressOf } from './vote.ts'
import { wideningSection } from './widening.ts'

/**
 * One request, exactly: who asks for whom, what, on which facts, and what stopped it. `key` tells its headings from those
 * of others on the page.
 */
export const requestSections = (state: EscalationState, factsNow: readonly ShownFact[], key = ''): Html => {
  const { open } = state
  const ask: Ask = JSON.parse(open.ask)
  const widening: Widening | undefined = open.widening === undefined ? undefined : JSON.parse(open.widening)
  const { user = widening?.user, chain } = open.principals
  const { approvals } = progressOf(state)
  return html`<dl>
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

      <section aria-labelledby="arguments${key}">
        <h2 id="arguments${key}">Exactly these arguments</h2>
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

      ${widening ? wideningSection(widening, key) : ''}

      ${factsSection(factsAsked(open), factsNow, key)}

      <section aria-labelledby="policies${key}">
        <h2 id="policies${key}">What stopped it</h2>
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
      </section>`
}

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

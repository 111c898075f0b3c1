import { html } from 'hono/html'
import type { Widening } from './call.ts'
import { visible } from './text.ts'

/**
 * What an approver is shown of a delegation of more than there is: what the delegator has, and exactly what would be
 * added to it.
 */
export const wideningSection = ({ added, has }: Widening, key: string) =>
  html`<section aria-labelledby="widening${key}">
    <h2 id="widening${key}">What would be added</h2>
    <p>
      The agent asks for more than it was granted. Beside what it asks for, each of its own grants must permit as well; an
      approval adds to them just this, for this delegation alone. Policies still count.
    </p>
    ${added.map(
      ({ grant, items }) => html`<h3>To the grant <code>${visible(grant)}</code></h3>
        <pre tabindex="0">${visible(JSON.stringify(items, null, 2))}</pre>
        <p>So far it is</p>
        <pre tabindex="0">${visible(JSON.stringify(has.find(held => held.grant === grant)?.items ?? [], null, 2))}</pre>`,
    )}
  </section>`

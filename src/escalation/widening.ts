import { html } from 'hono/html'
import type { Widening } from './call.ts'

/**
 * What an approver is shown of a delegation of more than there is: what the delegator has, and exactly what would be
 * added to it. `visible` writes out what hides in texts, which others wrote.
 */
export const wideningSection = ({ added, has }: Widening, visible: (text: string) => string) =>
  html`<section aria-labelledby="widening">
    <h2 id="widening">What would be added</h2>
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

import { html } from 'hono/html'
import type { Told } from '../facts/record.ts'
import { boundOf, type ShownFact } from '../facts/shown.ts'
import { uidText } from '../identity/uid.ts'
import { type Html, time, visible } from './text.ts'

/**
 * What a request rests upon: of each fact what the agent says and what the sources say, apart from each other, as it was
 * when the agent asked and, where that is no longer so, as it is now.
 */
export const factsSection = (asked: readonly ShownFact[], now: readonly ShownFact[], key = ''): Html | '' =>
  asked.length === 0
    ? ''
    : html`<section aria-labelledby="facts${key}">
        <h2 id="facts${key}">What is known</h2>
        ${asked.map((fact, index) => item(fact, now[index]))}
      </section>`

/** Of a fact, in a word. What nobody said that counts is missing. */
export const wordOf = ({ status }: Pick<ShownFact, 'status'>): string => WORDS[status][0]

const WORDS: Readonly<Record<ShownFact['status'], readonly [word: string, meaning: string]>> = {
  known: ['known', 'The agent claims nothing of it.'],
  verified: ['verified', 'What the agent says agrees with the source.'],
  contradicted: ['contradicted', 'What the agent says is not what the source says.'],
  stale: ['stale', 'What was said of it has lapsed.'],
  disputed: ['disputed', 'Sources that count the same disagree.'],
  unsupported: ['missing', 'No source has said anything of it.'],
  out_of_scope: ['missing', 'Only sources that may not speak of it did.'],
  unreachable: ['missing', 'The sources could not be asked.'],
}

const item = (fact: ShownFact, now: ShownFact | undefined): Html => {
  const changed = now && hasChanged(fact, now) ? now : undefined
  return html`<div class="fact">
    <h3>
      <code>${visible(fact.name)}</code>
      ${fact.about ? html`of <code>${visible(uidText(fact.about))}</code>` : ''}: ${word(fact)}
    </h3>
    <p>${WORDS[fact.status][1]}</p>
    ${'claimed' in fact ? html`<div class="theirs"><p class="label">The agent says</p>${value(fact.claimed)}</div>` : ''}
    ${fact.facts.map(said)}
    ${
      changed
        ? html`<div class="changed">
            <p class="label">Changed since the agent asked: now ${word(changed)}</p>
            <p>${WORDS[changed.status][1]}</p>
            ${changed.facts.map(said)}
          </div>`
        : ''
    }
  </div>`
}

const word = (fact: ShownFact): Html => html`<strong>${wordOf(fact)}</strong>`

const hasChanged = (fact: ShownFact, now: ShownFact): boolean =>
  fact.status !== now.status || boundOf(fact).said !== boundOf(now).said

const said = ({ source, value: json, observed_at, valid_until, evidence, from }: Told): Html =>
  html`<div class="source">
    <p class="label">Source <code>${visible(source)}</code> says</p>
    ${value(json)}
    <p>
      Observed ${time(observed_at)}, valid until ${time(valid_until)}.
      ${from === 'attestation' ? 'Signed by the source, and carried by the agent.' : ''}
      ${evidence === undefined ? '' : html`Evidence: <code>${visible(evidence)}</code>`}
    </p>
  </div>`

/** Nothing is left out, however long it is; it keeps to its own box. */
const value = (json: unknown): Html => {
  const text = JSON.stringify(json) ?? ''
  return html`<pre tabindex="0" dir="ltr">${visible(text)}</pre>
    ${text.length > LONG ? html`<p>${text.length} characters; scroll to see all.</p>` : ''}`
}

const LONG = 600

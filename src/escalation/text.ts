import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'

/** What the page and the messages write of what others wrote. */

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>

/** Characters that turn text around, or aren't seen, are written as what they are. */
export const visible = (text: string): string =>
  text.replace(/[\p{Cf}\p{Cc}\p{Co}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, character =>
    character === '\n' || character === '\t'
      ? character
      : `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`,
  )

export const time = (ms: number): Html => {
  const iso = new Date(ms).toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`
}

import { createHash } from 'node:crypto'
import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import { STYLE } from './style.ts'
import type { Html } from './text.ts'

/** A whole page for approvers. */
export const document = (title: string, content: Html): Html =>
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

/** Nothing is loaded from anywhere, nothing runs, and nobody may frame it. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** A page that says one thing. */
export const notice = (title: string, text: string): Html => document(title, html`<h1>${title}</h1><p>${text}</p>`)

const styleElement = styled()
function styled(): HtmlEscapedString {
  const element: HtmlEscapedString = Object.assign(`<style>${STYLE}</style>`, { isEscaped: true as const })
  return element
}

import type { Context } from 'hono'
import type { EntityUid } from '../cedar/json.ts'
import { reasons } from '../decision/reasons.ts'
import type { EscalationState } from '../escalation/call.ts'
import { CONTENT_SECURITY_POLICY, notice } from '../escalation/document.ts'
import { type Link, readLink } from '../escalation/link.ts'
import type { Reading } from '../facts/find.ts'
import { uidText } from '../identity/uid.ts'
import { authenticate } from '../identity/verify.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { sourceIo, verificationOf } from './authenticated.ts'
import { escalationAt } from './requests.ts'
import { identifierOf } from './tenant.ts'
import type { AppEnv } from './types.ts'

const FORM_BYTES = 16 * 1024

export type Opened = { state: EscalationState; bundle: LoadedBundle; person?: EntityUid; signedIn: boolean }

export const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'referrer-policy': 'no-referrer',
  'x-robots-tag': 'noindex',
  'cache-control': 'no-store',
}

/** The request that a link opens, and who looks at it. */
export const openedBy = async (c: Context<AppEnv>): Promise<Opened | { refused: Response }> => {
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

/** With what facts are read again. */
export const readingOf = (c: Context<AppEnv>, bundle: LoadedBundle): Reading => ({
  db: c.env.DB,
  tenant: c.var.place.tenant,
  bundle,
  now: c.var.now,
})

/** The fields of a form that our page sent. */
export const formOf = async (c: Context<AppEnv>): Promise<FormData | undefined> => {
  const type = c.req.header('content-type')?.split(';', 1)[0]?.trim()
  const length = Number(c.req.header('content-length') ?? Number.NaN)
  if (type !== 'application/x-www-form-urlencoded' || !(length <= FORM_BYTES)) return undefined
  const form = new FormData()
  for (const [name, value] of new URLSearchParams(await c.req.text())) form.append(name, value)
  return form
}

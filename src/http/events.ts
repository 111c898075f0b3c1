import { Hono } from 'hono'
import { describeRoute } from 'hono-openapi'
import * as v from 'valibot'
import { entityRef } from '../cedar/value.ts'
import { noteTaking } from '../delegation/noted.ts'
import { REMEMBER_MS, takeAway } from '../delegation/take-away.ts'
import { sha256 } from '../durable/hash.ts'
import { MAX_TOKEN } from '../identity/bearer.ts'
import { entityKey } from '../identity/lineage.ts'
import { type EventObjection, readSecurityEvent } from '../identity/security-event.ts'
import { uidText } from '../identity/uid.ts'
import { actorAt } from './acting.ts'
import { sourceIo, verificationOf } from './authenticated.ts'
import { boundedBytes } from './body.ts'
import { json } from './describe.ts'
import { takingIo } from './taking.ts'
import type { AppEnv } from './types.ts'

const Objection = v.object({ err: v.string(), description: v.string() })

/**
 * Where registered transmitters push Security Event Tokens (RFC 8935). The token's signature says who speaks, so no other
 * credential is asked for. Pushing one again changes nothing.
 */
export const events = new Hono<AppEnv>().post(
  '/v1/events',
  describeRoute({
    summary: 'Take away what was issued to a user or an agent: CAEP session-revoked and credential-change',
    security: [],
    requestBody: { required: true, content: { 'application/secevent+jwt': { schema: { type: 'string' } } } },
    responses: { 202: { description: 'Done' }, 400: json('Refused (RFC 8935, 2.4)', Objection) },
  }),
  async c => {
    const media = c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
    const bytes = media === 'application/secevent+jwt' ? await boundedBytes(c.req.raw) : undefined
    const text = bytes && new TextDecoder().decode(bytes)
    if (text === undefined || text.length > MAX_TOKEN) return c.json(refused('invalid_request'), 400)
    const { tenant } = c.var.place
    const found = await c.var.parts.source.current(tenant, sourceIo(c))
    if (!found.ok) return c.json(refused('invalid_issuer'), found.reason === 'no_policy' ? 400 : 503)
    const { bundle } = found
    const event = await readSecurityEvent(text, bundle.settings.issuers, verificationOf(c, bundle))
    if (typeof event === 'string') return c.json(refused(event), 400)
    const io = takingIo(c, bundle)
    for (const { uid, as, event: type, before, admitted } of event.taken) {
      // Nobody whom the bundle doesn't know has an object, or gets one by this.
      const known = admitted || bundle.entities.get(entityRef(uid.type, uid.id).key) !== undefined
      // What was issued so long ago is worth nothing anyway: an old event that somebody kept costs nothing.
      if (!known || c.var.now - before > REMEMBER_MS) continue
      const by = `events:${event.issuer}`
      const acting = await actorAt(c, uid, bundle)
      const key = entityKey(uid)
      const taken = await takeAway({ tenant, key, before, by, reason: type, holder: acting.name, now: c.var.now }, io)
      await noteTaking(
        {
          tenant,
          kind: 'security_event',
          of: as === 'agent' ? { agent: uidText(acting.as), object: acting.name } : uid,
          by,
          reason: type,
          about: { issuer: event.issuer, id: sha256(event.id), event: type, before },
          taken,
          once: { id: JSON.stringify([event.issuer, event.id, type, key]), until: c.var.now + 2 * REMEMBER_MS },
        },
        io,
      )
    }
    return c.body(null, 202)
  },
)

const refused = (err: EventObjection) => ({ err, description: DESCRIPTIONS[err] })

const DESCRIPTIONS: Record<EventObjection, string> = {
  invalid_request: 'Not a Security Event Token about a subject that is known here.',
  invalid_key: 'The signature does not verify by the keys of its issuer.',
  invalid_issuer: 'No such transmitter is registered.',
  invalid_audience: 'The token is meant for another receiver.',
  access_denied: 'The issuer is not registered as a transmitter.',
}

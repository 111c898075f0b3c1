import type { Tenant } from '../../src/policy/tenant.ts'
import { clock } from '../clock.ts'
import { createWorld, type Send, type World } from '../http/world.ts'
import { forge, pair } from '../identity/tokens.ts'

const key = await pair('ES256', 'set')
export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type'
/** A tenant with an identity provider, and a transmitter that may speak of its subjects. */
export const transmitting = (settings: Partial<Tenant> = {}) =>
  createWorld({
    settings,
    change: bundle => {
      const entry = {
        algorithms: ['ES256' as const],
        jwks: { keys: [key.public] },
        roles: { allowed: ['agent' as const], claim: 'roles', default: ['agent' as const] },
        skew: 30,
        max_age: 600,
      }
      const rule = { prefix: '', admit: 'listed' as const }
      bundle.settings.issuers.push(
        {
          ...entry,
          id: 'idp',
          iss: 'https://idp.example',
          agent: { type: 'Agent', ...rule },
          user: { type: 'User', ...rule },
        },
        {
          ...entry,
          id: 'ssf',
          iss: 'https://ssf.example',
          roles: { allowed: [], claim: 'roles', default: [] },
          events: { about: ['idp'] },
        },
      )
    },
  })
export const subject = (sub: string) => ({ format: 'iss_sub', iss: 'https://idp.example', sub })
/** A Security Event Token, right but for the changes. */
export const push = async (
  world: World,
  changes: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  send?: Send,
) => {
  const now = Math.floor(clock.now() / 1000)
  const claims = {
    iss: 'https://ssf.example',
    aud: world.identifier,
    iat: now,
    jti: crypto.randomUUID(),
    sub_id: subject('lea'),
    events: { [`${CAEP}/session-revoked`]: { event_timestamp: now } },
    ...changes,
  }
  const token = await forge(key, claims, { alg: 'ES256', kid: 'set', typ: 'secevent+jwt', ...header })
  const headers = { 'content-type': 'application/secevent+jwt' }
  return world.send('POST', '/v1/events', token, { headers, ...(send && { send }) })
}

import { randomUUID } from 'node:crypto'
import { importJWK, SignJWT } from 'jose'
import * as v from 'valibot'
import { DevelopmentClaims } from '../identity/development.ts'
import { uidText } from '../identity/uid.ts'
import { nearest } from '../policy/near.ts'
import { parseDuration } from '../policy/rate.ts'
import { roles } from '../policy/roles.ts'
import { command } from './command.ts'
import { DEVELOPMENT_ISSUER, issuerKey } from './development.ts'
import { CommandError, exit } from './exit.ts'
import { originNamed, originOption, tenantNamed, tenantOption } from './target.ts'
import { parseUid, parseUids } from './uid.ts'

const MAX_TTL_MS = 86_400_000

/** Mints a token of this machine's development issuer, for any role, agent, user and session. */
export const token = command({
  summary: 'Print a token that local Workers accept',
  args: [],
  options: {
    role: { type: 'string', value: 'ROLES', help: `${roles.join(', ')}; several with commas (default agent)` },
    agent: { type: 'string', value: 'UID', help: 'who acts; needed for the role agent' },
    chain: { type: 'string', value: 'UIDS', help: 'agents that delegated to it, nearest first' },
    user: { type: 'string', value: 'UID', help: 'the user that it acts for' },
    groups: { type: 'string', value: 'UIDS', help: 'groups that the token puts the agent in' },
    source: { type: 'string', value: 'ID', help: 'the source of record that speaks; needed for the role source' },
    session: { type: 'string', value: 'ID', help: 'the session' },
    admit: { type: 'boolean', help: "let agents and users in that the bundle's entities don't list" },
    sub: { type: 'string', value: 'NAME', help: 'the subject (default: the agent, else the role)' },
    ...tenantOption,
    ttl: { type: 'string', value: 'TIME', help: 'how long it lives: 90s, 15m, 8h (default 15m)' },
    ...originOption,
  },
  examples: [
    `token --agent 'Agent::"support-bot"' --user 'User::"ada"' --session s1`,
    'token --role pep,auditor --tenant cert --ttl 8h',
  ],
  run: async (_, options) => {
    const {
      agent,
      user,
      chain,
      groups,
      source,
      session,
      admit,
      ttl = '15m',
      origin = 'http://127.0.0.1:8787',
    } = options
    const given = (options.role ?? 'agent').split(',').map(role => role.trim())
    for (const role of given) if (!roles.some(known => known === role)) throw unknownRole(role)
    if (given.includes('agent') && agent === undefined) throw new CommandError('the role agent needs --agent UID')
    if (given.includes('source') && source === undefined) throw new CommandError('the role source needs --source ID')
    const ttlMs = parseDuration(ttl)
    if (ttlMs === undefined || ttlMs > MAX_TTL_MS)
      throw new CommandError(`--ttl ${ttl} is not a time of at most 24h, such as 15m`)
    const actor = agent === undefined ? undefined : parseUid(agent)
    const now = Math.floor(Date.now() / 1000)
    const payload = {
      iss: DEVELOPMENT_ISSUER,
      sub: options.sub ?? (actor ? uidText(actor) : given.join('+')),
      aud: `${originNamed(origin, 'origin')}/${tenantNamed(options.tenant)}`,
      iat: now,
      exp: now + Math.ceil(ttlMs / 1000),
      jti: randomUUID(),
      roles: given,
      ...(actor && { agent: actor }),
      ...(chain !== undefined && { chain: parseUids(chain) }),
      ...(user !== undefined && { user: parseUid(user) }),
      ...(groups !== undefined && { groups: parseUids(groups) }),
      ...(source !== undefined && { source }),
      ...(session !== undefined && { sid: session }),
      ...(admit && { admit }),
    }
    const claims = v.safeParse(DevelopmentClaims, payload)
    if (!claims.success) throw new CommandError(`no such token: ${claims.issues[0].message}`)
    const { key, kid, made } = await issuerKey()
    if (made) console.error('made the development issuer: `countersign push DIR --local` makes it known')
    const jwt = new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
    console.log(await jwt.sign(await importJWK(key, 'EdDSA')))
    return exit.ok
  },
})

const unknownRole = (role: string): CommandError => {
  const meant = nearest(role, roles)
  return new CommandError(
    `there is no role ${role}${meant ? `; did you mean ${meant}?` : ''}`,
    exit.usage,
    `there are ${roles.join(', ')}`,
  )
}

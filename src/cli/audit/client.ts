import { existsSync } from 'node:fs'
import { importJWK, SignJWT } from 'jose'
import * as v from 'valibot'
import type { Role } from '../../policy/roles.ts'
import { DEVELOPMENT_ISSUER, issuerKey, issuerKeyPath } from '../development.ts'
import { CommandError, exit } from '../exit.ts'
import { originNamed, tenantNamed, tenantOption } from '../target.ts'

/** The options of every command that asks a running Worker. */
export const clientOptions = {
  url: { type: 'string', value: 'URL', help: 'where the Worker is (default http://127.0.0.1:8787)' },
  ...tenantOption,
  token: {
    type: 'string',
    value: 'JWT',
    help: 'who asks (default: COUNTERSIGN_TOKEN; on this machine the development issuer)',
  },
} as const

type Given = { url?: string; tenant?: string; token?: string }

export type Client = {
  tenant: string
  /** The tenant's identifier: what events name as their source. */
  identifier: string
  /** Throws a `CommandError` unless the answer is 2xx, or 404 of a tenant that there is. */
  fetch: (path: string, init?: RequestInit) => Promise<Response>
  /** The same, read by a schema; `undefined` for 404. */
  get: <S extends v.GenericSchema>(path: string, schema: S) => Promise<v.InferOutput<S> | undefined>
}

export const clientFor = async (given: Given, role: Role = 'auditor'): Promise<Client> => {
  const origin = originNamed(given.url ?? 'http://127.0.0.1:8787', 'url')
  const tenant = tenantNamed(given.tenant)
  const identifier = `${origin}/${tenant}`
  const token = given.token ?? process.env.COUNTERSIGN_TOKEN ?? (await ownToken(origin, identifier, role))
  const call: Client['fetch'] = async (path, init) => {
    const headers = { ...init?.headers, authorization: `Bearer ${token}` }
    let response: Response
    try {
      response = await fetch(`${identifier}${path}`, { ...init, headers })
    } catch (error) {
      const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
      throw new CommandError(`${origin} can't be reached: ${why}`, exit.failed, 'is the Worker running? see --url')
    }
    if (response.ok || (response.status === 404 && !(await hasNoPolicy(response)))) return response
    throw await refused(response)
  }
  return {
    tenant,
    identifier,
    fetch: call,
    get: async (path, schema) => {
      const response = await call(path)
      if (response.status === 404) return undefined
      const read = v.safeParse(schema, await response.json())
      if (!read.success)
        throw new CommandError(`${path}: an answer that this version doesn't know`, exit.failed, read.issues[0].message)
      return read.output
    },
  }
}

/** Where the tenant has no bundle, it has nothing at all: mostly its name is misspelt. */
const hasNoPolicy = async (response: Response): Promise<boolean> =>
  (await response.clone().text()).includes('"no_policy"')

const Problem = v.object({ reason: v.string(), title: v.string(), detail: v.optional(v.string()) })

const refused = async (response: Response): Promise<CommandError> => {
  const text = await response.text()
  let said = `${response.status} ${text.slice(0, 200)}`
  try {
    const { reason, title, detail } = v.parse(Problem, JSON.parse(text))
    said = `${reason}: ${detail ?? title}`
  } catch {
    // not one of our problems: the text has to do
  }
  return new CommandError(said, exit.failed)
}

/** On a laptop its own issuer vouches; anywhere else somebody has to have given a token. */
const ownToken = async (origin: string, identifier: string, role: Role): Promise<string> => {
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(new URL(origin).hostname) || !existsSync(issuerKeyPath)) {
    throw new CommandError('no token: give --token or set COUNTERSIGN_TOKEN', exit.usage, `it needs the role ${role}`)
  }
  const { key, kid } = await issuerKey()
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT({ roles: [role] })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
    .setIssuer(DEVELOPMENT_ISSUER)
    .setSubject(role)
    .setAudience(identifier)
    .setIssuedAt(now)
    .setExpirationTime(now + 3_600)
    .sign(await importJWK(key, 'EdDSA'))
}

import { runInDurableObject } from 'cloudflare:test'
import { readPurse } from '../../src/agent/purses.ts'
import type { Answer } from '../../src/decision/answer.ts'
import { clock } from '../clock.ts'
import { answerIn, type Send, type World } from '../http/world.ts'
import { type Holder, holder, prove } from '../identity/proofs.ts'

/** A delegated token and the key that it is bound to. */
export type Delegated = { token: string; key: Holder; id: string; details: Record<string, unknown>[] }

export const GRANT = { type: 'countersign_grant' }
const TYPE = 'urn:ietf:params:oauth:token-type:'
const ACCESS = `${TYPE}access_token`

type Params = {
  subject: string
  subjectType?: string
  actor?: string
  agent?: string
  details?: unknown
  proof?: string
  jkt?: string
  more?: Record<string, string>
  send?: Send
}

/** The token endpoint, whatever it answers. */
export const exchange = (world: World, params: Params): Promise<Response> => {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: params.subject,
    subject_token_type: params.subjectType ?? ACCESS,
    ...(params.actor !== undefined && { actor_token: params.actor, actor_token_type: ACCESS }),
    ...(params.agent !== undefined && { agent: JSON.stringify({ type: 'Agent', id: params.agent }) }),
    ...(params.details !== undefined && { authorization_details: JSON.stringify(params.details) }),
    ...(params.jkt !== undefined && { dpop_jkt: params.jkt }),
    ...params.more,
  })
  return world.send('POST', '/v1/token', form.toString(), {
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(params.proof !== undefined && { dpop: params.proof }),
    },
    ...(params.send && { send: params.send }),
  })
}

export const ID_JAG = `${TYPE}id-jag`

/** Hands on to a child with a key of its own. `from`: a bearer token, or a delegated one. */
export const delegate = async (
  world: World,
  from: string | Delegated,
  params: Omit<Params, 'subject'> = {},
): Promise<Delegated> => {
  const key = await holder()
  const proof =
    typeof from === 'string'
      ? undefined
      : await prove(from.key, { method: 'POST', url: `${world.identifier}/v1/token`, now: clock.now() })
  const response = await exchange(world, {
    subject: typeof from === 'string' ? from : from.token,
    jkt: key.jkt,
    ...(proof !== undefined && { proof }),
    ...params,
  })
  const body: { access_token?: string; authorization_details?: Record<string, unknown>[]; reason?: string } =
    await response.json()
  if (body.access_token === undefined) throw new Refused(body.reason ?? '', JSON.stringify(body))
  const claims: { jti: string } = JSON.parse(atob(part(body.access_token)))
  return { token: body.access_token, key, id: claims.jti, details: body.authorization_details ?? [] }
}

class Refused extends Error {
  readonly reason: string
  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Why a delegation was refused. */
export const refusalOf = async (attempt: Promise<Delegated>): Promise<string> => {
  try {
    await attempt
    return 'delegated'
  } catch (error) {
    if (error instanceof Refused) return error.reason
    throw error
  }
}

const part = (token: string): string => (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')

export const sending = async (world: World, { token, key }: Delegated, path: string, method = 'POST') => ({
  headers: {
    authorization: `DPoP ${token}`,
    dpop: await prove(key, { method, url: world.identifier + path, now: clock.now(), token }),
  },
})

/** One decision, asked with a delegated token. */
export const ask = async (world: World, by: Delegated, what: unknown): Promise<Answer> =>
  answerIn(await world.post('/access/v1/evaluation', what, await sending(world, by, '/access/v1/evaluation')))

export const outcome = async (world: World, by: Delegated, what: unknown): Promise<string> =>
  (await ask(world, by, what)).context.reason

/** What an object holds of a purse. */
export const purseAt = (object: ReturnType<World['object']>, purse: string) =>
  runInDurableObject(object, (_, { storage }) => readPurse(storage, purse))

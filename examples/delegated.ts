import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type Answer, answerOf } from './agent.ts'

type Entity = { type: string; id: string }
type Task = { agent: Entity; authorization_details: unknown[] }

type Issued = { access_token?: string; error?: string; task?: { id: string } }

/**
 * A child agent that was given a task: its token is a narrower one, made by token exchange (RFC 8693) from its parent's
 * and bound to a key that only the child has, which it proves with each call (RFC 9449).
 */
export const delegated = async (origin: string, parentToken: string, task: Task) => {
  const key = await newKey()
  const { access_token: token } = await exchange(origin, parentToken, task, key)
  if (token === undefined) throw new Error('no token')
  return child(origin, token, task, key)
}

const child = (origin: string, token: string, { agent }: Task, key: Key) => ({
  ask: async (action: { name: string; properties?: Record<string, unknown> }, resource: Entity): Promise<Answer> => {
    const url = `${origin}/acme/access/v1/evaluation`
    const asked = { subject: agent, action, resource }
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        authorization: `DPoP ${token}`,
        dpop: await prove(key, url, token),
        'content-type': 'application/json',
      },
      body: JSON.stringify(asked),
    })
    return answerOf(answer, asked)
  },
  /** Asks for more than it has, for a task of its own: the same request again, until humans have answered. */
  asking: async (details: unknown[]) => {
    const own = await newKey()
    const wider = { agent, authorization_details: details }
    return async () => {
      const proof = await prove(key, `${origin}/acme/v1/token`)
      const { access_token, task } = await exchange(origin, token, wider, own, proof)
      return { task, ...(access_token !== undefined && { child: child(origin, access_token, wider, own) }) }
    }
  },
})

const exchange = async (origin: string, subject: string, task: Task, key: Key, dpop?: string): Promise<Issued> => {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subject,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    agent: JSON.stringify(task.agent),
    authorization_details: JSON.stringify(task.authorization_details),
    dpop_jkt: await calculateJwkThumbprint(key.jwk),
  })
  const headers = { ...(dpop !== undefined && { dpop }) }
  const response = await fetch(`${origin}/acme/v1/token`, { method: 'POST', body: form, headers })
  const issued: Issued = JSON.parse(await response.text())
  if (response.ok || issued.error === 'authorization_pending') return issued
  throw new Error(`no token: ${response.status} ${JSON.stringify(issued)}`)
}

type Key = Awaited<ReturnType<typeof newKey>>

const newKey = async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  return { private: privateKey, jwk: await exportJWK(publicKey) }
}

const prove = (key: Key, url: string, token?: string) =>
  new SignJWT({
    htm: 'POST',
    htu: url,
    ...(token !== undefined && { ath: createHash('sha256').update(token).digest('base64url') }),
  })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk })
    .setJti(randomUUID())
    .setIssuedAt()
    .sign(key.private)

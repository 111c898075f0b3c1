import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type Answer, answerOf } from './agent.ts'

type Entity = { type: string; id: string }
type Task = { agent: Entity; authorization_details: unknown[] }

/**
 * A child agent that was given a task: its token is a narrower one, made by token exchange (RFC 8693) from its parent's
 * and bound to a key that only the child has, which it proves with each call (RFC 9449).
 */
export const delegated = async (origin: string, parentToken: string, task: Task) => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: parentToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    agent: JSON.stringify(task.agent),
    authorization_details: JSON.stringify(task.authorization_details),
    dpop_jkt: await calculateJwkThumbprint(jwk),
  })
  const response = await fetch(`${origin}/acme/v1/token`, { method: 'POST', body: form })
  if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`)
  const { access_token: token } = JSON.parse(await response.text())

  const prove = (url: string) =>
    new SignJWT({ htm: 'POST', htu: url, ath: createHash('sha256').update(token).digest('base64url') })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk })
      .setJti(randomUUID())
      .setIssuedAt()
      .sign(privateKey)

  return {
    ask: async (action: { name: string; properties?: Record<string, unknown> }, resource: Entity): Promise<Answer> => {
      const url = `${origin}/acme/access/v1/evaluation`
      const asked = { subject: task.agent, action, resource }
      const answer = await fetch(url, {
        method: 'POST',
        headers: { authorization: `DPoP ${token}`, dpop: await prove(url), 'content-type': 'application/json' },
        body: JSON.stringify(asked),
      })
      return answerOf(answer, asked)
    },
  }
}

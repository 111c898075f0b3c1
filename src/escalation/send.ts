import { type Handler, plan } from '../durable/due.ts'
import { type SigningEnv, signer } from '../identity/keys.ts'
import { callOut } from '../outgoing/fetch.ts'
import { bodyOf } from './bodies.ts'
import type { Attempt, Delivery, OpenCall, Status, Target } from './call.ts'
import { readDelivery } from './deliveries.ts'
import { linkUrl } from './link.ts'
import { type SecretsEnv, secretsOf, signatureHeaders } from './secrets.ts'
import { type DeliveryRow, readOpen } from './state.ts'

export type SendEnv = SecretsEnv & SigningEnv & { LOCAL: string }

/** What passes until the next attempt, after each that failed: 28 hours in all. */
const PATIENCE_MS = [
  5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 43_200_000,
]
const ANSWER_BYTES = 16 * 1024

/** Sends one message, and keeps what became of it. It is taken when the receiver says so with 2xx. */
export const sending = (
  storage: DurableObjectStorage,
  env: SendEnv,
  clock: () => number,
  send: typeof fetch | undefined,
): Handler => ({
  run: async id => {
    const found = readOpen(storage)
    const delivery = readDelivery(storage, id)
    if (!found || delivery?.status !== 'pending') return
    const { open, status } = found
    // Who needn't answer any more needn't be told.
    if (delivery.event !== 'callback' && status !== 'pending') return finish(storage, id, 'dropped', clock())
    const { attempt, after } = await tryOnce(open, status, delivery, env, clock, send)
    storage.transactionSync(() => {
      const tries = delivery.tries + 1
      storage.sql.exec(
        'INSERT INTO attempt (delivery, n, at, status, error) SELECT ?, count(*) + 1, ?, ?, ? FROM attempt WHERE delivery = ?',
        id,
        attempt.at,
        attempt.status ?? null,
        attempt.error ?? null,
        id,
      )
      if (attempt.error === undefined) return finish(storage, id, 'sent', clock())
      const wait = PATIENCE_MS[tries - 1]
      if (wait === undefined || attempt.status === 410) return finish(storage, id, 'dead', clock())
      const jittered = wait * (0.8 + Math.random() * 0.4)
      const next = Math.round(clock() + Math.max(jittered, after ?? 0))
      storage.sql.exec('UPDATE delivery SET tries = ?, next = ? WHERE id = ?', tries, next, id)
    })
  },
  next: id => {
    const delivery = readDelivery(storage, id)
    return delivery?.status === 'pending' ? Math.max(delivery.next, clock()) : undefined
  },
})

const finish = (storage: DurableObjectStorage, id: string, status: Delivery['status'], now: number): void => {
  storage.sql.exec('UPDATE delivery SET status = ? WHERE id = ?', status, id)
  plan(storage, 'index', '', now)
}

const tryOnce = async (
  open: OpenCall,
  status: Status,
  delivery: DeliveryRow,
  env: SendEnv,
  clock: () => number,
  send: typeof fetch | undefined,
): Promise<{ attempt: Attempt; after?: number }> => {
  const at = clock()
  const target: Target = JSON.parse(delivery.target)
  try {
    const secrets = await secretsOf(env, open.tenant, target.webhook, at)
    // Chat services know their own by the URL; everyone else must be able to tell that it is us.
    if (secrets.length === 0 && target.format === 'json') return { attempt: { at, error: 'no_secret' } }
    const { task, identifier, expiresAt } = open
    const link = await linkUrl(
      await signer(env),
      identifier,
      { task, ...(target.approver && { approver: target.approver }) },
      { id: delivery.id, at: delivery.at, until: expiresAt },
    )
    const body = bodyOf(open, delivery, target, { link, status })
    const reply = await callOut(
      target.url,
      {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...signatureHeaders(secrets, { id: delivery.id, body, now: at }),
        },
        body,
      },
      { hosts: open.outgoing, local: env.LOCAL === 'true' },
      { maxBytes: ANSWER_BYTES, ...(send && { fetch: send }) },
    )
    if (!reply.ok) return { attempt: { at, error: reply.problem } }
    if (reply.status >= 200 && reply.status < 300) return { attempt: { at, status: reply.status } }
    const after = Number(reply.headers.get('retry-after')) * 1000
    return {
      attempt: { at, status: reply.status, error: `status_${reply.status}` },
      ...(after > 0 && after < 86_400_000 && { after }),
    }
  } catch (error) {
    return { attempt: { at, error: error instanceof Error ? error.message.slice(0, 200) : 'failed' } }
  }
}

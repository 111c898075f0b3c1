import { createHmac, randomBytes } from 'node:crypto'
import { and, desc, eq, gt, isNull, or } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { open, seal } from '../durable/envelope.ts'
import { webhookSecrets } from './tables.ts'

/**
 * The secrets that webhooks' messages are signed with (Standard Webhooks, symmetric). D1 holds them sealed; while one
 * takes over from another, messages carry a signature by each.
 */
export type SecretsEnv = { DB: D1Database; KEY_ENCRYPTION_KEY: string }

/** Makes a secret; those before it still count for `overlapMs`. The text is given out this once. */
export const rotateSecret = async (
  env: SecretsEnv,
  { tenant, webhook, now, overlapMs }: { tenant: string; webhook: string; now: number; overlapMs: number },
): Promise<{ id: string; secret: string; replaced: number }> => {
  const id = randomBytes(9).toString('base64url')
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const sealed = await seal(env.KEY_ENCRYPTION_KEY, secret, [tenant, webhook, id])
  const db = drizzle(env.DB)
  const until = now + overlapMs
  const [retired] = await db.batch([
    db
      .update(webhookSecrets)
      .set({ expiresAt: until })
      .where(
        and(
          eq(webhookSecrets.tenant, tenant),
          eq(webhookSecrets.webhook, webhook),
          or(isNull(webhookSecrets.expiresAt), gt(webhookSecrets.expiresAt, until)),
        ),
      ),
    db.insert(webhookSecrets).values({ tenant, webhook, id, sealed, createdAt: now }),
  ])
  return { id, secret, replaced: retired.meta.changes }
}

/** The secrets that count now, the newest first. */
export const secretsOf = async (env: SecretsEnv, tenant: string, webhook: string, now: number): Promise<string[]> => {
  const rows = await drizzle(env.DB)
    .select()
    .from(webhookSecrets)
    .where(
      and(
        eq(webhookSecrets.tenant, tenant),
        eq(webhookSecrets.webhook, webhook),
        or(isNull(webhookSecrets.expiresAt), gt(webhookSecrets.expiresAt, now)),
      ),
    )
    .orderBy(desc(webhookSecrets.createdAt))
  return Promise.all(rows.map(({ id, sealed }) => open(env.KEY_ENCRYPTION_KEY, sealed, [tenant, webhook, id])))
}

/** The headers of Standard Webhooks: one signature for each secret. */
export const signatureHeaders = (
  secrets: readonly string[],
  { id, body, now }: { id: string; body: string; now: number },
): Record<string, string> => {
  const timestamp = String(Math.floor(now / 1000))
  const signatures = secrets.map(secret => {
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    ...(signatures.length > 0 && { 'webhook-signature': signatures.join(' ') }),
  }
}

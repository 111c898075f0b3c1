import { and, desc, eq, gt, inArray, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { textOf } from '../audit/columns.ts'
import { openSecrets } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { Secrets } from '../audit/receipt.ts'
import { delegations, revocations } from './tables.ts'

export type Delegation = typeof delegations.$inferSelect
type Revocation = typeof revocations.$inferSelect

/** Puts one down, and clears away some that lapsed long ago: the record has them. */
export const insertDelegation = async (db: D1Database, delegation: Delegation): Promise<void> => {
  const d1 = drizzle(db)
  const lapsed = d1
    .select({ id: delegations.id })
    .from(delegations)
    .where(and(eq(delegations.tenant, delegation.tenant), lt(delegations.expiresAt, delegation.issuedAt - LAPSED_MS)))
    .limit(100)
  await d1.batch([
    d1.insert(delegations).values(delegation),
    d1.delete(delegations).where(and(eq(delegations.tenant, delegation.tenant), inArray(delegations.id, lapsed))),
  ])
}

/** Of one that came to nothing. */
export const deleteDelegation = async (db: D1Database, tenant: string, id: string): Promise<void> => {
  await drizzle(db)
    .delete(delegations)
    .where(and(eq(delegations.tenant, tenant), eq(delegations.id, id)))
}

/** What lives that comes from what one of these names, and the objects of the agents that hold it. */
export const livingBelow = (
  db: D1Database,
  tenant: string,
  keys: readonly string[],
  now: number,
): Promise<Pick<Delegation, 'id' | 'holder'>[]> =>
  drizzle(db)
    .select({ id: delegations.id, holder: delegations.holder })
    .from(delegations)
    .where(
      and(
        eq(delegations.tenant, tenant),
        gt(delegations.expiresAt, now - GRACE_MS),
        sql`EXISTS (SELECT 1 FROM json_each(${delegations.lineage}) WHERE value IN (SELECT value FROM json_each(${JSON.stringify(keys)})))`,
      ),
    )

/**
 * Takes a user out of what is kept of delegations, by all names that they may have there: those that still live stay,
 * without a name, and what was taken away stays so, without a reason.
 */
export const forgetUser = async (
  db: D1Database,
  tenant: string,
  names: readonly string[],
  now: number,
): Promise<void> => {
  const d1 = drizzle(db)
  const theirs = and(eq(delegations.tenant, tenant), inArray(delegations.user, [...names]))
  await d1.batch([
    d1.delete(delegations).where(and(theirs, lt(delegations.expiresAt, now - GRACE_MS))),
    d1.update(delegations).set({ user: null, secrets: '{}' }).where(theirs),
    d1
      .update(revocations)
      .set({ reason: '' })
      .where(and(eq(revocations.tenant, tenant), inArray(revocations.key, [...names]))),
  ])
}

/** One that was minted, living or not. */
export const delegationOf = async (db: D1Database, tenant: string, id: string): Promise<Delegation | undefined> => {
  const [row] = await drizzle(db)
    .select()
    .from(delegations)
    .where(and(eq(delegations.tenant, tenant), eq(delegations.id, id)))
  return row
}

/** Who it is for, as Cedar writes it; `null` also once that was erased. */
export const userOf = async ({ user, secrets }: Delegation, vault: Vault): Promise<string | null> => {
  const kept: Secrets = JSON.parse(secrets)
  if (Object.keys(kept).length === 0) return user
  return textOf((await openSecrets(kept, vault)).user?.value)
}

/** Those that live, newest first. */
export const livingDelegations = (db: D1Database, tenant: string, now: number): Promise<Delegation[]> =>
  drizzle(db)
    .select()
    .from(delegations)
    .where(and(eq(delegations.tenant, tenant), gt(delegations.expiresAt, now)))
    .orderBy(desc(delegations.issuedAt))
    .limit(MOST)

/** Of two about one key the wider one holds. */
export const insertRevocation = async (db: D1Database, revocation: Revocation): Promise<void> => {
  await drizzle(db)
    .insert(revocations)
    .values(revocation)
    .onConflictDoUpdate({
      target: [revocations.tenant, revocations.key],
      set: {
        before: sql`max(${revocations.before}, excluded.before)`,
        eventBefore: sql`coalesce(max(${revocations.eventBefore}, excluded.event_before), ${revocations.eventBefore}, excluded.event_before)`,
        at: revocation.at,
        by: revocation.by,
        reason: revocation.reason,
      },
    })
}

/**
 * Gives back what an admin took, and with `events` what security events took too. Says whether there was anything to
 * give back.
 */
export const deleteRevocation = async (
  db: D1Database,
  tenant: string,
  keys: readonly string[],
  { events }: { events: boolean },
): Promise<boolean> => {
  const d1 = drizzle(db)
  const meant = and(eq(revocations.tenant, tenant), inArray(revocations.key, [...keys]))
  const [kept, gone] = await d1.batch([
    d1
      .update(revocations)
      .set({ before: sql`${revocations.eventBefore}` })
      .where(and(meant, isNull(revocations.before), isNotNull(revocations.eventBefore))),
    d1.delete(revocations).where(events ? meant : and(meant, isNull(revocations.eventBefore))),
  ])
  return kept.meta.changes + gone.meta.changes > 0
}

export const revocationsOf = (db: D1Database, tenant: string): Promise<Pick<Revocation, 'key' | 'before'>[]> =>
  drizzle(db)
    .select({ key: revocations.key, before: revocations.before })
    .from(revocations)
    .where(eq(revocations.tenant, tenant))

/** Tokens are taken for a little longer than they live, where clocks differ. */
const GRACE_MS = 2 * 60_000
const LAPSED_MS = 86_400_000
const MOST = 1_000

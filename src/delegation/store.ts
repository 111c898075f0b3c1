import { and, desc, eq, gt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { delegations, revocations } from './tables.ts'

export type Delegation = typeof delegations.$inferSelect
type Revocation = typeof revocations.$inferSelect

export const insertDelegation = async (db: D1Database, delegation: Delegation): Promise<void> => {
  await drizzle(db).insert(delegations).values(delegation)
}

/** Of one that came to nothing. */
export const deleteDelegation = async (db: D1Database, tenant: string, id: string): Promise<void> => {
  await drizzle(db)
    .delete(delegations)
    .where(and(eq(delegations.tenant, tenant), eq(delegations.id, id)))
}

/** The objects of agents that hold something living that comes from what `key` names. */
export const holdersOf = async (db: D1Database, tenant: string, key: string, now: number): Promise<string[]> => {
  const rows = await drizzle(db)
    .selectDistinct({ holder: delegations.holder })
    .from(delegations)
    .where(
      and(
        eq(delegations.tenant, tenant),
        gt(delegations.expiresAt, now - GRACE_MS),
        sql`EXISTS (SELECT 1 FROM json_each(${delegations.lineage}) WHERE value = ${key})`,
      ),
    )
  return rows.map(({ holder }) => holder)
}

/** One that was minted, living or not. */
export const delegationOf = async (db: D1Database, tenant: string, id: string): Promise<Delegation | undefined> => {
  const [row] = await drizzle(db)
    .select()
    .from(delegations)
    .where(and(eq(delegations.tenant, tenant), eq(delegations.id, id)))
  return row
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
        at: revocation.at,
        by: revocation.by,
        reason: revocation.reason,
      },
    })
}

export const deleteRevocation = async (db: D1Database, tenant: string, key: string): Promise<void> => {
  await drizzle(db)
    .delete(revocations)
    .where(and(eq(revocations.tenant, tenant), eq(revocations.key, key)))
}

export const revocationsOf = (db: D1Database, tenant: string): Promise<Pick<Revocation, 'key' | 'before'>[]> =>
  drizzle(db)
    .select({ key: revocations.key, before: revocations.before })
    .from(revocations)
    .where(eq(revocations.tenant, tenant))

/** Tokens are taken for a little longer than they live, where clocks differ. */
const GRACE_MS = 2 * 60_000
const MOST = 1_000

import { and, eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { facts, factWaits, outcomeWaits } from './tables.ts'

/**
 * Takes an entity out of the ledger: what sources said of it, and what waits for them to say more. Receipts go on citing
 * those facts by their hashes. Whoever is waited for in vain times out, as where nobody says anything. Says how many facts
 * there were.
 */
export const forgetFacts = async (db: D1Database, tenant: string, entity: string): Promise<number> => {
  const d1 = drizzle(db)
  const [gone] = await d1.batch([
    d1.delete(facts).where(and(eq(facts.tenant, tenant), eq(facts.entity, entity))),
    d1.delete(factWaits).where(and(eq(factWaits.tenant, tenant), eq(factWaits.entity, entity))),
    d1.delete(outcomeWaits).where(and(eq(outcomeWaits.tenant, tenant), eq(outcomeWaits.entity, entity))),
  ])
  return gone.meta.changes
}

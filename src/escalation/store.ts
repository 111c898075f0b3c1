import { and, desc, eq, gt, gte, inArray, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { receipts } from '../audit/tables.ts'
import type { Ask } from '../decision/ask.ts'
import { uidText } from '../identity/uid.ts'
import { groupsOf } from '../policy/escalation.ts'
import type { Delivery, EscalationState, OpenCall, Status } from './call.ts'
import { bundles, deliveries, escalations, requestKeys } from './tables.ts'

/** What D1 knows of escalations: to list, to search, to count. Their objects write it; here it is read. */

export type Listed = typeof escalations.$inferSelect

/** Writes the copy. A copy of an earlier state changes nothing. */
export const index = async (db: D1Database, state: EscalationState, version: number): Promise<void> => {
  const { open, status, decidedAt, approval } = state
  const ask: Ask = JSON.parse(open.ask)
  const row = {
    task: open.task,
    tenant: open.tenant,
    version,
    status: status === 'approving' ? ('pending' as const) : status,
    evaluationId: open.evaluationId,
    agent: open.agent,
    user: open.principals.user ? uidText(open.principals.user) : null,
    action: ask.action.name,
    resource: uidText(ask.resource),
    groups: JSON.stringify([...new Set(open.requirements.flatMap(groupsOf))]),
    like: open.like,
    openedAt: open.at,
    expiresAt: open.expiresAt,
    decidedAt: decidedAt ?? null,
    standing: approval?.scope !== undefined,
  }
  const d1 = drizzle(db)
  const { task: _, ...changing } = row
  await d1.batch([
    d1
      .insert(escalations)
      .values(row)
      .onConflictDoUpdate({ target: escalations.task, set: changing, setWhere: lt(escalations.version, version) }),
    ...state.deliveries.map(delivery => {
      const given = deliveryRow(state, delivery)
      return d1
        .insert(deliveries)
        .values(given)
        .onConflictDoUpdate({
          target: deliveries.id,
          set: { status: given.status, attempts: given.attempts, error: given.error },
        })
    }),
  ])
}

const deliveryRow = ({ open }: EscalationState, { id, webhook, event, status, attempts, at }: Delivery) => ({
  id,
  tenant: open.tenant,
  task: open.task,
  webhook,
  event,
  status,
  attempts: attempts.length,
  error: attempts.at(-1)?.error ?? null,
  at,
})

/** An escalation's place in a list: those of one request for several are opened in one moment. */
export type Place = { at: number; task: string }

/** Escalations of a tenant, the newest first. */
export const listed = (
  db: D1Database,
  tenant: string,
  {
    status,
    before,
    agent,
    action,
    limit,
  }: {
    status?: Status
    before?: Place
    agent?: string
    action?: string
    limit: number
  },
): Promise<Listed[]> =>
  drizzle(db)
    .select()
    .from(escalations)
    .where(
      and(
        eq(escalations.tenant, tenant),
        status === undefined ? undefined : eq(escalations.status, status),
        agent === undefined ? undefined : eq(escalations.agent, agent),
        action === undefined ? undefined : eq(escalations.action, action),
        before && sql`(${escalations.openedAt}, ${escalations.task}) < (${before.at}, ${before.task})`,
      ),
    )
    .orderBy(desc(escalations.openedAt), desc(escalations.task))
    .limit(limit)

/** Tasks of requests like one, itself among them, that still wait: the oldest first. */
export const waitingLike = async (
  db: D1Database,
  { tenant, agent, like, ask }: Pick<OpenCall, 'tenant' | 'agent' | 'like' | 'ask'>,
  now: number,
  limit: number,
): Promise<string[]> => {
  const { action }: Ask = JSON.parse(ask)
  const rows = await drizzle(db)
    .select({ task: escalations.task })
    .from(escalations)
    .where(
      and(
        eq(escalations.tenant, tenant),
        eq(escalations.agent, agent),
        eq(escalations.action, action.name),
        eq(escalations.status, 'pending'),
        eq(escalations.like, like),
        gt(escalations.expiresAt, now),
      ),
    )
    .orderBy(escalations.openedAt, escalations.task)
    .limit(limit)
  return rows.map(({ task }) => task)
}

/** Messages to webhooks, the newest first. */
export const deliveriesOf = (db: D1Database, tenant: string, status: Delivery['status'] | undefined, limit: number) =>
  drizzle(db)
    .select()
    .from(deliveries)
    .where(and(eq(deliveries.tenant, tenant), status === undefined ? undefined : eq(deliveries.status, status)))
    .orderBy(desc(deliveries.at), desc(deliveries.id))
    .limit(limit)

/**
 * Takes an Idempotency-Key for a request; `undefined` where it was used with another one. In one transaction, so that of
 * two requests at once one is first.
 */
export const takeKey = async (
  db: D1Database,
  { now, ...row }: { key: string; bodyHash: string; task: string; now: number; until: number },
): Promise<{ task: string } | undefined> => {
  const d1 = drizzle(db)
  const { key, ...set } = row
  const [, rows] = await d1.batch([
    d1
      .insert(requestKeys)
      .values(row)
      .onConflictDoUpdate({ target: requestKeys.key, set, setWhere: lt(requestKeys.until, now) }),
    d1.select().from(requestKeys).where(eq(requestKeys.key, key)),
    d1
      .delete(requestKeys)
      .where(
        inArray(
          requestKeys.key,
          d1.select({ key: requestKeys.key }).from(requestKeys).where(lt(requestKeys.until, now)).limit(100),
        ),
      ),
  ])
  const [taken] = rows
  return taken?.bodyHash === row.bodyHash ? { task: taken.task } : undefined
}

/** The tasks of a bundle, in the order of its items. */
export const bundleAt = async (db: D1Database, tenant: string, task: string): Promise<string[] | undefined> => {
  const [row] = await drizzle(db)
    .select()
    .from(bundles)
    .where(and(eq(bundles.task, task), eq(bundles.tenant, tenant)))
  return row && JSON.parse(row.items)
}

/** Keeps a bundle. Again is no harm. */
export const keepBundle = async (db: D1Database, row: typeof bundles.$inferInsert): Promise<void> => {
  await drizzle(db).insert(bundles).values(row).onConflictDoNothing()
}

/** How much humans had to do since a time. */
export type Load = {
  decisions: number
  requests: number
  requests_per_100_decisions: number
  answered: number
  timed_out: number
  median_answer_ms: number | null
  /** Of the approvals, how many stand. */
  standing_share: number
}

export const loadSince = async (db: D1Database, tenant: string, since: number): Promise<Load> => {
  const d1 = drizzle(db)
  const [counts, answers, [decided]] = await d1.batch([
    d1
      .select({ status: escalations.status, standing: escalations.standing, count: sql<number>`count(*)` })
      .from(escalations)
      .where(and(eq(escalations.tenant, tenant), gte(escalations.openedAt, since)))
      .groupBy(escalations.status, escalations.standing),
    d1
      .select({ ms: sql<number>`${escalations.decidedAt} - ${escalations.openedAt}` })
      .from(escalations)
      .where(
        and(
          eq(escalations.tenant, tenant),
          gte(escalations.openedAt, since),
          inArray(escalations.status, ['approved', 'denied']),
        ),
      )
      .orderBy(sql`1`)
      .limit(10_000),
    d1
      .select({ count: sql<number>`count(*)` })
      .from(receipts)
      .where(and(eq(receipts.tenant, tenant), eq(receipts.kind, 'decision'), gte(receipts.at, since))),
  ])
  const sum = (wanted: (row: (typeof counts)[number]) => boolean) =>
    counts.filter(wanted).reduce((total, { count }) => total + count, 0)
  const requests = sum(() => true)
  const approved = sum(({ status }) => status === 'approved')
  const decisions = decided?.count ?? 0
  return {
    decisions,
    requests,
    requests_per_100_decisions: decisions === 0 ? 0 : Math.round((requests / decisions) * 10_000) / 100,
    answered: approved + sum(({ status }) => status === 'denied'),
    timed_out: sum(({ status }) => status === 'expired'),
    median_answer_ms: answers[Math.floor((answers.length - 1) / 2)]?.ms ?? null,
    standing_share: approved === 0 ? 0 : sum(row => row.status === 'approved' && row.standing) / approved,
  }
}

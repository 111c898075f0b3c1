import type { AgentObject } from '../agent/object.ts'

/** A deferred decision, the object that keeps it, and what it waits for. */
export type Wait = {
  evaluationId: string
  object: string
  /** Milliseconds. */
  until: number
  needs: readonly { entity: string; predicate: string; since: number }[]
}

type Agents = DurableObjectNamespace<AgentObject>

/**
 * Enters waits into the index by which new facts find them, and names those whose facts came meanwhile. Where that fails
 * nothing is lost: whoever asks after a wait looks into the ledger again.
 */
export const enter = async (db: D1Database, tenant: string, waits: readonly Wait[], now: number): Promise<string[]> => {
  const rows = waits.flatMap(({ evaluationId, object, until, needs }) =>
    needs.map(({ entity, predicate, since }) => [tenant, entity, predicate, evaluationId, object, until, since]),
  )
  if (rows.length === 0) return []
  const sent = JSON.stringify(rows)
  const session = db.withSession('first-primary')
  const [, , arrived] = await session.batch<{ id: string }>([
    session.prepare('DELETE FROM fact_waits WHERE until <= ?').bind(now),
    session.prepare(ENTER).bind(sent),
    session.prepare(ARRIVED).bind(sent),
  ])
  return arrived?.results.map(({ id }) => id) ?? []
}

/** Whether the ledger has got anything of what a decision waits for since it was looked for. */
export const hasArrived = async (db: D1Database, tenant: string, needs: Wait['needs']): Promise<boolean> => {
  const rows = needs.map(({ entity, predicate, since }) => [tenant, entity, predicate, '', '', 0, since])
  const { results } = await db.withSession('first-primary').prepare(ARRIVED).bind(JSON.stringify(rows)).all()
  return results.length > 0
}

/** Wakes the decisions that wait for what was stated: each agent's object once. */
export const wakeFor = async (
  db: D1Database,
  agents: Agents,
  tenant: string,
  stated: readonly { entity: string; predicate: string }[],
): Promise<void> => {
  if (stated.length === 0) return
  const sent = JSON.stringify(stated.map(({ entity, predicate }) => [entity, predicate]))
  const session = db.withSession('first-primary')
  const { results } = await session.prepare(WAITING).bind(tenant, sent).all<{ id: string; object: string }>()
  const byObject = Map.groupBy(results, ({ object }) => object)
  await Promise.all(
    [...byObject].map(([object, waits]) =>
      wakeAt(
        agents,
        object,
        waits.map(({ id }) => id),
      ),
    ),
  )
  if (results.length === 0) return
  await session
    .prepare('DELETE FROM fact_waits WHERE tenant = ? AND evaluation_id IN (SELECT value FROM json_each(?))')
    .bind(tenant, JSON.stringify(results.map(({ id }) => id)))
    .run()
}

export const wakeAt = (agents: Agents, object: string, evaluationIds: string[]): Promise<void> =>
  agents.getByName(object).wake({ v: 1, evaluationIds })

const ENTER = `
  INSERT INTO fact_waits (tenant, entity, predicate, evaluation_id, object, until)
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each(?1) WHERE true
  ON CONFLICT DO NOTHING`

const ARRIVED = `
  SELECT DISTINCT want.value->>3 AS id FROM json_each(?1) AS want WHERE EXISTS (
    SELECT 1 FROM facts WHERE tenant = want.value->>0 AND entity = want.value->>1 AND predicate = want.value->>2
      AND n > want.value->>6
  )`

const WAITING = `
  SELECT DISTINCT fact_waits.evaluation_id AS id, fact_waits.object FROM json_each(?2) AS stated
  JOIN fact_waits ON fact_waits.tenant = ?1 AND fact_waits.entity = stated.value->>0
    AND fact_waits.predicate = stated.value->>1`

import type { OutcomeCall } from '../agent/calls/outcomes.ts'
import type { AgentObject } from '../agent/object.ts'
import { readUid } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { factOf } from './find.ts'
import { latestOf } from './ledger.ts'
import { outcomeOf } from './settling.ts'
import { findingOf } from './verdict.ts'

/** A permitted decision, and the fact that will say what became of it. Times in milliseconds. */
export type Awaited = {
  evaluationId: string
  action: string
  object: string
  /** Where its receipt stands. */
  seq: number
  entity: string
  predicate: string
  decidedAt: number
}

export type Settling = {
  db: D1Database
  agents: DurableObjectNamespace<AgentObject>
  tenant: string
  bundle: LoadedBundle
  now: number
}

/** How long a fact may take: less than an agent's object keeps its receipts, which say when it decided. */
const WAIT_MS = 30 * 86_400_000

/**
 * Enters decisions into the index by which facts find them, and settles those about which something was stated
 * meanwhile. Where that fails they are settled by the next request of the same intent, or by a report.
 */
export const awaitOutcomes = async (awaited: readonly Awaited[], io: Settling): Promise<void> => {
  const { db, tenant, now } = io
  const sent = JSON.stringify(
    awaited.map(one => [
      tenant,
      one.entity,
      one.predicate,
      one.evaluationId,
      one.action,
      one.object,
      one.seq,
      one.decidedAt,
      one.decidedAt + WAIT_MS,
    ]),
  )
  const session = db.withSession('first-primary')
  const [, , stated] = await session.batch<{ id: string }>([
    session.prepare('DELETE FROM outcome_waits WHERE until <= ?').bind(now),
    session.prepare(ENTER).bind(sent),
    session.prepare(STATED).bind(sent),
  ])
  const ids = new Set(stated?.results.map(({ id }) => id))
  await settle(
    awaited.filter(({ evaluationId }) => ids.has(evaluationId)),
    io,
  )
}

/** Gives the decisions that wait for what was stated their outcomes, each agent's object in one call. */
export const settleBy = async (
  stated: readonly { entity: string; predicate: string; observedAt: number }[],
  io: Settling,
): Promise<void> => {
  const { db, tenant, bundle, now } = io
  const predicates = new Set([...bundle.settling.values()].map(({ fact }) => fact.predicate))
  const telling = stated.filter(({ predicate }) => predicates.has(predicate))
  if (telling.length === 0) return
  const sent = JSON.stringify(telling.map(({ entity, predicate, observedAt }) => [entity, predicate, observedAt]))
  const { results } = await db.withSession('first-primary').prepare(WAITING).bind(tenant, sent, now).all<Awaited>()
  await settle(results, io)
}

/** By what the sources said since each decision, weighed as all facts are. */
const settle = async (awaited: readonly Awaited[], io: Settling): Promise<void> => {
  const { db, agents, tenant, bundle, now } = io
  if (awaited.length === 0) return
  // all that stands there: what came while the decision was made has a later time than its call
  const sources = [...bundle.facts.sources.keys()]
  const { rows } = await latestOf(db, tenant, distinct(awaited), sources, Number.MAX_SAFE_INTEGER)
  const calls = awaited.flatMap(({ evaluationId, action, object, seq, entity, predicate, decidedAt }) => {
    const settling = bundle.settling.get(action)
    if (settling?.fact.predicate !== predicate) return []
    const said = rows
      .filter(row => row.entity === entity && row.predicate === predicate && row.observedAt > decidedAt)
      .flatMap(row => factOf(row, readUid(entity), bundle))
    const finding = findingOf(settling.fact, said, bundle.facts, now)
    const outcome = outcomeOf(settling, finding)
    if (outcome === undefined || finding.status !== 'known') return []
    const { id, hash, source, observedAt } = finding.fact
    const fact = { name: settling.fact.name, id, hash, observedAt }
    const call: OutcomeCall = { v: 1, evaluationId, seq, outcome, trusted: true, by: source, fact, at: now }
    return [{ object, call }]
  })
  const byObject = Map.groupBy(calls, ({ object }) => object)
  const done = await Promise.allSettled(
    [...byObject].map(async ([object, told]) => {
      await agents.getByName(object).reportAll(told.map(({ call }) => call))
      return told.map(({ call }) => call.evaluationId)
    }),
  )
  const ids = done.flatMap(one => (one.status === 'fulfilled' ? one.value : []))
  if (ids.length > 0) await db.prepare(FORGET).bind(tenant, JSON.stringify(ids)).run()
  const failed = done.find(one => one.status === 'rejected')
  if (failed) throw new Error(`some outcomes were not taken: ${failed.reason}`)
}

const distinct = (awaited: readonly Awaited[]): { entity: string; predicate: string }[] => [
  ...new Map(
    awaited.map(({ entity, predicate }) => [JSON.stringify([entity, predicate]), { entity, predicate }]),
  ).values(),
]

const ENTER = `
  INSERT INTO outcome_waits (tenant, entity, predicate, evaluation_id, action, object, seq, decided_at, until)
  SELECT ${Array.from({ length: 9 }, (_, index) => `value->>${index}`).join(', ')} FROM json_each(?1) WHERE true
  ON CONFLICT DO NOTHING`

const STATED = `
  SELECT DISTINCT sent.value->>3 AS id FROM json_each(?1) AS sent WHERE EXISTS (
    SELECT 1 FROM facts WHERE tenant = sent.value->>0 AND entity = sent.value->>1 AND predicate = sent.value->>2
      AND observed_at > sent.value->>7
  )`

const WAITING = `
  SELECT DISTINCT w.evaluation_id AS evaluationId, w.action, w.object, w.seq, w.entity, w.predicate,
    w.decided_at AS decidedAt
  FROM json_each(?2) AS stated
  JOIN outcome_waits AS w ON w.tenant = ?1 AND w.entity = stated.value->>0 AND w.predicate = stated.value->>1
    AND w.decided_at < stated.value->>2 AND w.until > ?3`

const FORGET = 'DELETE FROM outcome_waits WHERE tenant = ? AND evaluation_id IN (SELECT value FROM json_each(?))'

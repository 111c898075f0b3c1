import type { DecideReply } from '../agent/calls/decide.ts'
import type { AgentObject } from '../agent/object.ts'
import { withDeadline } from '../durable/deadline.ts'
import { awaitOutcomes } from '../facts/outcomes.ts'
import { enter, wakeAt } from '../facts/waits.ts'
import type { Call } from './call.ts'
import type { Prepared } from './prepare.ts'
import type { FactsIo } from './truth.ts'

const WAIT_DEADLINE_MS = 2_000

type Entered = { prepared: Prepared }
type EnteringIo = { agents: DurableObjectNamespace<AgentObject>; facts: FactsIo }

/**
 * Enters deferred decisions where new facts find them: after the commit, and again where a retry replays one. Facts that
 * came since they were looked for wake them at once.
 */
export const enterWaits = async (
  reply: DecideReply,
  items: readonly Entered[],
  call: Call,
  { agents, facts }: EnteringIo,
): Promise<void> => {
  const object = items[0]?.prepared.object.name
  const waits = reply.flatMap((settled, at) => {
    if (settled.kind !== 'decided' || settled.waitUntil === undefined || object === undefined) return []
    const needs = items[at]?.prepared.item.wait?.needs.filter(({ name }) => settled.missing.includes(name)) ?? []
    return [{ evaluationId: settled.evaluationId, object, until: settled.waitUntil, needs }]
  })
  if (object === undefined || waits.length === 0) return
  try {
    const came = await withDeadline(enter(facts.db, call.tenant, waits, call.edge.now), WAIT_DEADLINE_MS)
    if (came.length > 0) await wakeAt(agents, object, came)
  } catch (error) {
    console.warn(`waits at ${object} are found by asking alone: ${error}`)
  }
}

/** Enters what was permitted where the facts that will tell its outcome find it. */
export const enterOutcomes = async (
  reply: DecideReply,
  items: readonly Entered[],
  call: Call,
  { agents, facts }: EnteringIo,
): Promise<void> => {
  const awaited = reply.flatMap((settled, at) => {
    const { telling, ask, object } = items[at]?.prepared ?? {}
    if (settled.kind !== 'decided' || settled.expiresAt === undefined || !telling || !ask || !object) return []
    const { evaluationId, receipt, at: decidedAt } = settled
    return [{ evaluationId, action: ask.action.name, object: object.name, seq: receipt.seq, ...telling, decidedAt }]
  })
  if (awaited.length === 0) return
  const { tenant, bundle, edge } = call
  const io = { db: facts.db, agents, tenant, bundle, now: edge.now }
  try {
    await withDeadline(awaitOutcomes(awaited, io), WAIT_DEADLINE_MS)
  } catch (error) {
    console.warn(`outcomes that facts tell are found by asking alone: ${error}`)
  }
}

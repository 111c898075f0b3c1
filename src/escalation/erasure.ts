import type { AgentObject } from '../agent/object.ts'
import type { EntityUid } from '../cedar/json.ts'
import { nameOf } from '../durable/names.ts'
import { uidText } from '../identity/uid.ts'
import type { EscalationObject } from './object.ts'

type ErasureEnv = {
  DB: D1Database
  AGENT: DurableObjectNamespace<AgentObject>
  ESCALATION: DurableObjectNamespace<EscalationObject>
}

/**
 * Erases what escalations hold of a user or resource: in their objects, with the agents that asked, and in D1, which
 * comes last, since by it they are found. Where one can't be reached this throws, and doing it again goes on. Says how
 * many there were.
 */
export const eraseEscalations = async (
  { DB: db, AGENT: agents, ESCALATION: escalations }: ErasureEnv,
  tenant: string,
  subject: EntityUid,
  { acts, at }: { /** Whether whoever acts as such an entity is a person. */ acts: boolean; at: number },
): Promise<number> => {
  const text = uidText(subject)
  let count = 0
  for (;;) {
    const { results } = await db.prepare(ABOUT).bind(tenant, text, BATCH, Number(acts)).all<{ task: string }>()
    if (results.length === 0) return count
    const tasks = results.map(({ task }) => task)
    await Promise.all(
      tasks.map(async task => {
        const left = await escalations.getByName(nameOf('escalation', tenant, task)).erase({ subject, at })
        if (left) await agents.getByName(left.object).forget({ v: 1, evaluationId: left.evaluationId, task })
      }),
    )
    const sent = JSON.stringify(tasks)
    await db.batch([db.prepare(RECEIPTS).bind(tenant, sent), db.prepare(FORGET).bind(sent, text, subject.type)])
    count += tasks.length
  }
}

const BATCH = 50

const ABOUT = `
  SELECT task FROM escalations WHERE tenant = ?1 AND user = ?2
  UNION SELECT task FROM escalations WHERE tenant = ?1 AND resource = ?2
  UNION SELECT task FROM escalations WHERE tenant = ?1 AND agent = ?2 AND ?4 LIMIT ?3`

/** What was said of them lies under a key, or is emptied here. */
const RECEIPTS = `
  UPDATE receipts SET secrets = '{}', caller = NULL WHERE id IN (
    SELECT ended.id FROM json_each(?2) AS task
    JOIN escalations ON escalations.task = task.value
    JOIN receipts AS asked ON asked.evaluation_id = escalations.evaluation_id
    JOIN receipts AS ended ON ended.chain = asked.chain AND ended.kind = 'escalation'
      AND ended.body ->> '$.escalation.task' = task.value
    WHERE escalations.tenant = ?1
  )`

const FORGET = `
  UPDATE escalations SET user = NULL, like = '', agent = iif(agent = ?2, ?3 || '::""', agent), resource = substr(resource, 1, instr(resource, '::"') + 2) || '"'
  WHERE task IN (SELECT value FROM json_each(?1))`

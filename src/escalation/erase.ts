import type { EntityUid } from '../cedar/json.ts'
import type { Intent } from '../decision/intent.ts'
import { uidText } from '../identity/uid.ts'
import type { OpenCall } from './call.ts'
import { decideAs } from './outcome.ts'
import { exists } from './schema.ts'
import { readOpen } from './state.ts'

/**
 * Erases an escalation's own copy: of the request only stays when it was made, by which agent, and which policies stopped
 * it; of the answers who gave them. One that still waited is withdrawn, since nobody can answer what nobody can see.
 * Says where else it left copies; `undefined` where there is nothing.
 */
export const erase = (
  storage: DurableObjectStorage,
  { subject, at }: { subject: EntityUid; at: number },
): Pick<OpenCall, 'object' | 'evaluationId'> | undefined => {
  if (!exists(storage)) return undefined
  return storage.transactionSync(() => {
    const found = readOpen(storage)
    if (!found) return undefined
    const { open, status } = found
    const { sql } = storage
    sql.exec(
      'UPDATE escalation SET open = ?, erased_at = ifnull(erased_at, ?), changes = changes + 1',
      JSON.stringify(bare(open, subject)),
      at,
    )
    sql.exec("UPDATE escalation SET approval = json_remove(approval, '$.scope', '$.facts') WHERE approval IS NOT NULL")
    sql.exec('UPDATE vote SET reason = NULL, scope = NULL, shown = NULL, facts = NULL')
    if (status === 'pending')
      decideAs(storage, { status: 'cancelled', at, withdrawn: { by: 'record', reason: 'erased' } })
    return { object: open.object, evaluationId: open.evaluationId }
  })
}

const bare = (
  { about: _____, facts: _, client: __, justification: ___, session: ____, ...open }: OpenCall,
  subject: EntityUid,
): OpenCall => {
  const { actor: acting, chain } = open.principals
  // whoever asked may be the very person
  const actor = uidText(acting) === uidText(subject) ? { type: acting.type, id: '' } : acting
  const { tenant, action, resource }: Intent = JSON.parse(open.intent)
  const intent: Intent = {
    tenant,
    principals: { actor, chain },
    action,
    resource: { type: resource.type, id: '' },
    arguments: {},
  }
  return {
    ...open,
    principals: intent.principals,
    agent: uidText(actor),
    ask: JSON.stringify({ subject: actor, action: { name: action }, resource: intent.resource }),
    intent: JSON.stringify(intent),
    // could be guessed back to what they are hashes of
    actionHash: '',
    bindingHash: '',
    like: '',
    requester: 'erased',
    barred: [],
  }
}

import { uuidv7 } from 'uuidv7'
import type { Answered, QuestionCall } from '../agent/call.ts'
import { redact } from '../audit/privacy/redact.ts'
import { hasPersonal, sealSecrets } from '../audit/privacy/seal.ts'
import type { Ask } from '../decision/ask.ts'
import type { Call } from '../decision/call.ts'
import type { Deps } from '../decision/decide.ts'
import { lineageIn } from '../decision/lineage.ts'
import type { Unsettled } from '../decision/object.ts'
import { objectOf } from '../decision/prepare.ts'
import type { Reason } from '../decision/reasons.ts'
import { recordOf } from '../decision/record.ts'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { linkedOf, sessionOf } from '../decision/step.ts'
import { targetsOf } from '../decision/targets.ts'
import type { Who } from '../decision/who.ts'
import { nameOf, shardOf } from '../durable/names.ts'

/** What of a call a question needs. */
export type Asked = Omit<Call, 'idempotency' | 'stop' | 'identifier'>
export type Answerers = Pick<Deps, 'agents' | 'vault' | 'adopt'>

/** Stands in the record for what is searched for. */
export const ANY = '*'

/** The part that search and scope have in common of a call to an agent's object: whose it is, and what is recorded. */
export const questionOf = async (
  ask: Ask,
  who: Who,
  call: Asked,
  vault: Answerers['vault'],
): Promise<Omit<QuestionCall, 'denied'> | { failed: 'redaction_failed' }> => {
  const { bundle, tenant, edge, requestId, proof, epoch } = call
  const { privacy } = bundle.settings
  const kept = redact(ask, privacy)
  const { body, secrets } = recordOf(kept.ask, who, call.caller, {
    edge,
    truth: undefined,
    fields: {},
    ...(requestId !== undefined && { requestId }),
  })
  const { user } = who.principals
  const subjects = { resource: { type: ask.resource.type, id: ask.resource.id }, ...(user && { user }) }
  const { agent, attempts } = objectOf(who, call)
  const question = {
    v: 1,
    tenant,
    agent,
    attempts,
    bundle: { seq: bundle.seq, hash: bundle.hash },
    now: edge.now,
    id: uuidv7(),
    body,
    targets: targetsOf(ask, who, call),
    ...(bundle.remembers && { session: sessionOf(ask, who.asserts, call.caller), ...linkedOf(who, call.caller) }),
    ...(epoch && { epoch }),
    ...(proof && { proof }),
    ...lineageIn(call.caller),
  } as const
  if (!hasPersonal(subjects, privacy)) return { ...question, secrets }
  try {
    return { ...question, secrets: await sealSecrets(secrets, subjects, privacy, vault) }
  } catch (error) {
    console.error('personal data could not be sealed:', error)
    return { failed: 'redaction_failed' }
  }
}

/** Why an answer would be nothing, before anything is looked for. */
export const deniedFor = ({ unknown }: Who, { taken }: Asked): { reason: Reason } | undefined => {
  if (unknown) return { reason: unknown }
  return taken && { reason: taken === 'yes' ? 'revoked' : 'control_unreachable' }
}

/** Chains for gateways' searches among subjects: these are about no one agent. */
const SEARCH_CHAINS = 4

export const searchesOf = ({ tenant, caller }: Asked): { name: string; agent: string } => {
  const chain = String(shardOf(caller.name, SEARCH_CHAINS))
  return { name: nameOf('searches', tenant, chain), agent: `searches/${chain}` }
}

/** Why there is no answer on record; `undefined` where there is one. */
export const unanswered = (
  reply: Exclude<Answered<unknown>, { kind: 'answered' | 'stale_bundle' }> | Unsettled,
): { reason: Reason } | Refusal => {
  if ('unsettled' in reply) return { reason: reply.unsettled }
  switch (reply.kind) {
    case 'too_many_attempts':
      return refusal(429, 'too_many_attempts', { retryAfter: reply.retryAfter })
    case 'replayed_proof':
      return refusal(401, 'invalid_dpop_proof')
    case 'chain_fork':
      return { reason: 'chain_fork' }
  }
}

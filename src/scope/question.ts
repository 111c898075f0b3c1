import { uuidv7 } from 'uuidv7'
import type { Answered, QuestionCall } from '../agent/calls/questions.ts'
import { actedBy, actingAs, isPerson } from '../audit/privacy/acting.ts'
import { redact } from '../audit/privacy/redact.ts'
import { hasPersonal, sealSecrets } from '../audit/privacy/seal.ts'
import type { Ask } from '../decision/ask.ts'
import type { Call } from '../decision/call.ts'
import type { Deps } from '../decision/decide.ts'
import { lineageIn, takenFrom } from '../decision/lineage.ts'
import type { Unsettled } from '../decision/object.ts'
import { objectOf } from '../decision/prepare.ts'
import type { Reason } from '../decision/reasons.ts'
import { recordOf } from '../decision/record.ts'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { objectFor, subjectsOf } from '../decision/sealed.ts'
import { linkedOf, sessionOf } from '../decision/step.ts'
import { targetsOf } from '../decision/targets.ts'
import type { Who } from '../decision/who.ts'
import { nameOf, shardOf } from '../durable/names.ts'

/** What of a call a question needs. */
export type Asked = Omit<Call, 'idempotency' | 'stop' | 'identifier'>
export type Answerers = Pick<Deps, 'agents' | 'vault' | 'taken' | 'adopt'>

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
  const subjects = subjectsOf(ask, who, privacy)
  const { attempts } = objectOf(who, call)
  const question = {
    v: 1,
    tenant,
    attempts,
    bundle: { seq: bundle.seq, hash: bundle.hash },
    now: edge.now,
    id: uuidv7(),
    targets: targetsOf(ask, who, call),
    ...(bundle.remembers && { session: sessionOf(ask, who.asserts, call.caller), ...linkedOf(who, call.caller) }),
    ...(epoch && { epoch }),
    ...(proof && { proof }),
    ...lineageIn(call.caller),
  } as const
  try {
    const { agent } = await objectFor(who, call, vault)
    const { actor } = who.principals
    // whoever is searched for is nobody in particular
    const named =
      isPerson(actor, privacy) && actor.id !== ANY
        ? await actedBy(actor, await actingAs(actor, privacy, vault), { body, secrets }, vault)
        : { body, secrets }
    if (!hasPersonal(subjects, privacy)) return { ...question, agent, ...named }
    return { ...question, agent, ...named, secrets: await sealSecrets(named.secrets, subjects, privacy, vault) }
  } catch (error) {
    console.error('personal data could not be sealed:', error)
    return { failed: 'redaction_failed' }
  }
}

/** Why an answer would be nothing, before anything is looked for. */
export const deniedFor = async (
  who: Who,
  call: Asked,
  deps: Pick<Answerers, 'taken'>,
): Promise<{ reason: Reason } | undefined> => {
  if (who.unknown) return { reason: who.unknown }
  const taken = call.taken ?? (await takenFrom(who, call, deps))
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

import type { Answered, WhoamiCall } from '../agent/calls/questions.ts'
import type { Purse } from '../agent/purses.ts'
import type { Ask } from '../decision/ask.ts'
import { reached } from '../decision/object.ts'
import type { Reason } from '../decision/reasons.ts'
import { isRefusal, type Refusal } from '../decision/refusal.ts'
import { objectFor } from '../decision/sealed.ts'
import { who } from '../decision/who.ts'
import type { Caller } from '../identity/caller.ts'
import { isCounted } from '../identity/grant.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { type Answerers, type Asked, deniedFor, questionOf, unanswered } from './question.ts'

export type Told = {
  /** As the bundle reads the token that it was answered under. */
  caller: Caller
  /** What is left of the grant that counts, and which that is. */
  left?: Purse & { grant: string }
  recorded: boolean
  /** Why the agent would be allowed nothing now. */
  reason?: Reason
}

/** Asks for an agent what its token is worth: by the one call that every question makes (rule 9). */
export const whoami = async (
  principals: PrincipalChain,
  call: Asked,
  deps: Answerers,
  mayMove = true,
): Promise<Told | Refusal> => {
  const { actor } = principals
  const ask: Ask = { subject: actor, action: { name: 'whoami' }, resource: actor }
  const agent = who(ask, call.caller, call.bundle)
  if (isRefusal(agent)) return agent
  const nothing = (reason: Reason): Told => ({ caller: call.caller, recorded: false, reason })
  const question = await questionOf(ask, agent, call, deps.vault)
  if ('failed' in question) return nothing(question.failed)
  const counted = call.caller.grants?.find(({ items }) => items.some(isCounted))
  const denied = await deniedFor(agent, call, deps)
  const sent: WhoamiCall = { ...question, ...(counted && { purse: counted.id }), ...(denied && { denied }) }
  const { name } = await objectFor(agent, call, deps.vault)
  const reply = await reached<Answered<Purse | null>>(async () => deps.agents.getByName(name).whoami(sent))
  if ('kind' in reply && reply.kind === 'stale_bundle') {
    const moved = mayMove ? await deps.adopt(reply) : undefined
    return moved ? whoami(principals, { ...call, ...moved }, deps, false) : nothing('bundle_stale')
  }
  if (!('kind' in reply) || reply.kind !== 'answered') {
    const failed = unanswered(reply)
    return isRefusal(failed) ? failed : nothing(failed.reason)
  }
  return {
    caller: call.caller,
    recorded: true,
    ...(counted && reply.result && { left: { ...reply.result, grant: counted.id } }),
    ...(reply.reason !== undefined && { reason: reply.reason }),
  }
}

import * as v from 'valibot'
import type { Answered, ScopeCall } from '../agent/calls/questions.ts'
import { redact } from '../audit/privacy/redact.ts'
import type { Problem } from '../cedar/convert.ts'
import { Action, type Ask, Entity, Name, Properties } from '../decision/ask.ts'
import { reached } from '../decision/object.ts'
import type { Reason } from '../decision/reasons.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { objectFor } from '../decision/sealed.ts'
import { stepOfAll } from '../decision/step.ts'
import { type What, what } from '../decision/what.ts'
import { type Who, who } from '../decision/who.ts'
import type { Filter } from '../sdk/scope/filter.ts'
import { isTooLarge, type Scoping, scopeOf } from './legs.ts'
import { ANY, type Answerers, type Asked, deniedFor, questionOf, unanswered } from './question.ts'

/** Asks which resources of a type an action may be done to. */
export const ScopeQuery = v.object({
  subject: Entity,
  action: Action,
  resource: v.object({ type: Name }),
  context: v.optional(Properties),
})
export type ScopeQuery = v.InferOutput<typeof ScopeQuery>

export type Scoped = {
  filter: Filter
  /** Whether the filter has everything that would be permitted one by one; it never has more. */
  exact: boolean
  inexact: string[]
  /** Fields that must be kept back of every row. */
  mask: string[]
  bundle: { seq: number; hash: string }
  at: number
  recorded: boolean
  id?: string
  /** Why there is nothing. */
  reason?: Reason
  problems?: Problem[]
}

/** Makes the filter that `query` asks for: partly here, finished by the agent's object in one call. */
export const scope = async (
  query: ScopeQuery,
  call: Asked,
  deps: Answerers,
  mayMove = true,
): Promise<Scoped | Refusal> => {
  const { bundle, edge } = call
  const ask: Ask = { ...query, resource: { type: query.resource.type, id: placeholder(query, call) } }
  const actor = who(ask, call.caller, bundle)
  if (isRefusal(actor)) return actor
  const asAny = { ...ask, resource: { ...ask.resource, id: ANY } }
  const { ask: shown } = redact(asAny, bundle.settings.privacy)
  const question = await questionOf(asAny, actor, call, deps.vault)
  const at = { bundle: { seq: bundle.seq, hash: bundle.hash }, at: edge.now }
  const nothing = (reason: Reason): Scoped => {
    return { filter: { scope: 'never' }, exact: true, inexact: [], mask: [], ...at, recorded: false, reason }
  }
  if ('failed' in question) return nothing(question.failed)
  const scoping = scopingOf(ask, actor, call, await deniedFor(actor, call, deps))
  if (isTooLarge(scoping.program)) return refusal(422, 'filter_too_large')
  const sent: ScopeCall = {
    ...question,
    program: scoping.program,
    ...(scoping.denied && { denied: scoping.denied }),
    ...(scoping.asked && bundle.remembers && { step: stepOfAll(shown, actor, scoping.asked, call) }),
  }
  const { name } = await objectFor(actor, call, deps.vault)
  const reply = await reached<Answered<Filter>>(async () => deps.agents.getByName(name).scope(sent))
  if ('kind' in reply && reply.kind === 'stale_bundle') {
    const moved = mayMove ? await deps.adopt(reply) : undefined
    return moved ? scope(query, { ...call, ...moved }, deps, false) : nothing('bundle_stale')
  }
  if (!('kind' in reply) || reply.kind !== 'answered') {
    const failed = unanswered(reply)
    return isRefusal(failed) ? failed : nothing(failed.reason)
  }
  return {
    filter: reply.result,
    exact: scoping.inexact.length === 0,
    inexact: scoping.inexact,
    mask: scoping.mask,
    ...at,
    at: reply.at,
    recorded: true,
    id: sent.id,
    ...(reply.reason !== undefined && { reason: reply.reason }),
    ...(scoping.problems && { problems: scoping.problems }),
  }
}

/** An id that the type can have, for what is read by the schema; nothing is evaluated with it. */
const placeholder = ({ resource: { type } }: ScopeQuery, { bundle }: Asked): string =>
  bundle.schema.entityTypes.get(type)?.ids?.[0] ?? ''

type Denied = Scoping & { asked?: What; denied?: { reason: Reason }; problems?: Problem[] }

const scopingOf = (ask: Ask, actor: Who, call: Asked, denied: Denied['denied']): Denied => {
  const { bundle, edge } = call
  const nothing = (reason: Reason): Denied => ({
    program: { v: 1, legs: [] },
    inexact: [],
    mask: [],
    denied: { reason },
  })
  if (denied) return nothing(denied.reason)
  const asked = what(ask, actor, bundle, edge)
  // What must be redeemed one by one can't be had by a filter.
  if (bundle.settings.redeem_only.includes(ask.action.name)) return nothing('not_permitted')
  if (!('reason' in asked)) return { ...scopeOf(actor, asked, ask, bundle, edge.now), asked }
  return { ...nothing(asked.reason), ...('problems' in asked && { problems: asked.problems }) }
}

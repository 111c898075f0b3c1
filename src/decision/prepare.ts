import { uuidv7 } from 'uuidv7'
import type { Binding, DecideItem } from '../agent/call.ts'
import { redact } from '../audit/privacy/redact.ts'
import type { EntityUid } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import { nameOf, shardOf } from '../durable/names.ts'
import { bindingHash } from '../escalation/binding.ts'
import type { Presented } from '../escalation/presented.ts'
import { uidText } from '../identity/uid.ts'
import type { Ask } from './ask.ts'
import type { Call } from './decide.ts'
import { actionHash, type Intent } from './intent.ts'
import { programOf } from './legs.ts'
import { recordOf } from './record.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { environmentNames, what } from './what.ts'
import { type Who, who } from './who.ts'

/** One action, evaluated as far as the Worker can, and the object that settles it. */
export type Prepared = {
  ask: Ask
  presented?: Presented
  who: Who
  object: { name: string; agent: string; attempts: { capacity: number; windowMs: number } }
  item: Omit<DecideItem, 'idempotency'>
  /** What a permit says of the intent. */
  intent: { actionHash: string; argumentsHash: string }
}

/** Milliseconds that a permit lives. */
const PERMIT_MS = 60_000

/** Chains for callers that are genuine and unknown: few and fixed, so that strangers can't make objects (rule 8). */
const UNATTRIBUTED_CHAINS = 4
const UNATTRIBUTED_ATTEMPTS = { capacity: 60, windowMs: 60_000 }

export const NO_PROGRAM = { v: 1, legs: [], absentDuties: [] } as const satisfies DecideItem['program']

/** identity → request → cedar, for one action: all of the way that needs no state. */
export const prepare = (ask: Ask, call: Call, presented?: Presented): Prepared | Refusal => {
  const actor = who(ask, call.caller, call.bundle)
  if (isRefusal(actor)) return actor
  const args = ask.action.properties ?? {}
  const intent: Intent = {
    tenant: call.tenant,
    principals: actor.principals,
    action: ask.action.name,
    resource: ask.resource,
    arguments: args,
  }
  const hash = actionHash(intent)
  const kept = redact(withoutApproval(ask), call.bundle.settings.privacy)
  const judged = kept.denied ? { program: NO_PROGRAM, denied: kept.denied } : judge(ask, actor, call)
  // What holds a credential can be shown to nobody, so nobody can approve it.
  const liftable = !kept.masked && judged.program.legs.some(leg => leg.forbids.some(forbid => forbid.liftable))
  return {
    ask,
    ...(presented && { presented }),
    who: actor,
    object: objectOf(actor, call),
    item: {
      evaluationId: uuidv7(),
      ...judged,
      ...recordOf(kept.ask, actor, call.caller, {
        ...(!kept.masked && { actionHash: hash }),
        ...(call.requestId && { requestId: call.requestId }),
      }),
      permitMs: PERMIT_MS,
      ...(liftable && { binding: bindingOf(ask, actor, call, { intent, actionHash: hash }) }),
      ...(presented && { approval: presented }),
    },
    intent: { actionHash: hash, argumentsHash: contentHash(args) },
  }
}

/** An approval is ours: the token in it is no credential of anybody's, and has its own place in the record. */
const withoutApproval = (ask: Ask): Ask => {
  if (ask.context?.approval === undefined) return ask
  const { approval: _, ...context } = ask.context
  return { ...ask, context }
}

/** What an approval binds. Of the context that a PEP states, the address changes with the path that a call takes. */
const bindingOf = (
  ask: Ask,
  { asserts }: Who,
  { bundle, caller }: Call,
  { intent, actionHash }: Pick<Binding, 'intent' | 'actionHash'>,
): Binding => {
  const members = asserts ? environmentNames(ask.action.name, bundle.schema).filter(name => name !== 'ip') : []
  const contextMembers = members.filter(name => Object.hasOwn(ask.context ?? {}, name))
  const { session } = caller
  return {
    actionHash,
    bindingHash: bindingHash(ask, contextMembers),
    contextMembers,
    intent,
    ...(session !== undefined && { session }),
  }
}

const judge = (ask: Ask, actor: Who, call: Call): Pick<DecideItem, 'program' | 'denied'> => {
  if (actor.unknown) return { program: NO_PROGRAM, denied: { reason: actor.unknown } }
  const asked = what(ask, actor, call.bundle, call.edge)
  if ('reason' in asked) return { program: NO_PROGRAM, denied: asked }
  return { program: programOf(actor, asked, call.bundle) }
}

const objectOf = ({ principals: { actor }, unknown }: Who, call: Call): Prepared['object'] => {
  const { attempts } = call.bundle
  if (!unknown) return { name: agentName(call.tenant, actor), agent: uidText(actor), attempts }
  const chain = String(shardOf(call.caller.name, UNATTRIBUTED_CHAINS))
  return {
    name: nameOf('unattributed', call.tenant, chain),
    agent: `unattributed/${chain}`,
    attempts: UNATTRIBUTED_ATTEMPTS,
  }
}

/** The name of the object of whoever acts as this entity. */
export const agentName = (tenant: string, { type, id }: EntityUid): string => nameOf('agent', tenant, type, id)

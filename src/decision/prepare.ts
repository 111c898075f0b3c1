import { uuidv7 } from 'uuidv7'
import type { DecideItem } from '../agent/call.ts'
import { redact } from '../audit/privacy/redact.ts'
import type { EntityUid } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import { nameOf, shardOf } from '../durable/names.ts'
import { uidText } from '../identity/uid.ts'
import type { Ask } from './ask.ts'
import type { Call } from './decide.ts'
import { actionHash } from './intent.ts'
import { programOf } from './legs.ts'
import { recordOf } from './record.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { what } from './what.ts'
import { type Who, who } from './who.ts'

/** One action, evaluated as far as the Worker can, and the object that settles it. */
export type Prepared = {
  ask: Ask
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
export const prepare = (ask: Ask, call: Call): Prepared | Refusal => {
  const actor = who(ask, call.caller, call.bundle)
  if (isRefusal(actor)) return actor
  const args = ask.action.properties ?? {}
  const hash = actionHash({
    tenant: call.tenant,
    principals: actor.principals,
    action: ask.action.name,
    resource: ask.resource,
    arguments: args,
  })
  const kept = redact(ask, call.bundle.settings.privacy)
  return {
    ask,
    who: actor,
    object: objectOf(actor, call),
    item: {
      evaluationId: uuidv7(),
      ...(kept.denied ? { program: NO_PROGRAM, denied: kept.denied } : judge(ask, actor, call)),
      ...recordOf(kept.ask, actor, call.caller, {
        ...(!kept.masked && { actionHash: hash }),
        ...(call.requestId && { requestId: call.requestId }),
      }),
      permitMs: PERMIT_MS,
    },
    intent: { actionHash: hash, argumentsHash: contentHash(args) },
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

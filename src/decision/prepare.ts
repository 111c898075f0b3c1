import { uuidv7 } from 'uuidv7'
import type { Binding } from '../agent/calls/approvals.ts'
import type { DecideItem } from '../agent/calls/decide.ts'
import { redact } from '../audit/privacy/redact.ts'
import type { Secrets } from '../audit/receipt.ts'
import type { Problem } from '../cedar/convert.ts'
import { type EntityUid, isObject } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import { nameOf, shardOf } from '../durable/names.ts'
import { bindingHash } from '../escalation/binding.ts'
import type { Presented } from '../escalation/presented.ts'
import type { ClaimRecord } from '../facts/record.ts'
import { shownFacts } from '../facts/shown.ts'
import { uidText } from '../identity/uid.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { cameOf } from './came.ts'
import { fieldsFor } from './duties.ts'
import { actionHash, type Intent, intentHash } from './intent.ts'
import type { Truth } from './known.ts'
import { programOf } from './legs.ts'
import { linksOf } from './links.ts'
import { recordOf } from './record.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { type Judged, rewritten } from './rewrite.ts'
import { linkedOf, misnamedSession, sessionOf, stepOf } from './step.ts'
import { targetsOf } from './targets.ts'
import { type Gathered, needsOf, untrue } from './truth.ts'
import { argumentsType, environmentNames, knowing, what } from './what.ts'
import { type Who, who } from './who.ts'

/** One action, evaluated as far as the Worker can, and the object that settles it. */
export type Prepared = {
  ask: Ask
  presented?: Presented
  who: Who
  object: { name: string; agent: string; attempts: { capacity: number; windowMs: number } }
  item: Omit<DecideItem, 'idempotency' | 'secrets'> & { secrets: Secrets }
  /** What the agent claimed, as the answer tells it. */
  claims: readonly ClaimRecord[]
  /** The fact that will tell what became of it. */
  telling?: { entity: string; predicate: string }
  /** What a permit says of the intent. */
  intent: { hash: string; argumentsHash: string }
}

/** Milliseconds that a permit lives. */
const PERMIT_MS = 60_000

/** Chains for callers that are genuine and unknown: few and fixed, so that strangers can't make objects (rule 8). */
const UNATTRIBUTED_CHAINS = 4
const UNATTRIBUTED_ATTEMPTS = { capacity: 60, windowMs: 60_000 }

export const NO_PROGRAM = { v: 1, legs: [] } as const satisfies DecideItem['program']

/** What was found out of one action before it is judged; `taken`: of the authority that a PEP states for it. */
type Found = { presented: Presented | undefined; gathered: Gathered; taken: Call['taken'] }

/** identity → request → cedar, for one action: all of the way that needs no state. */
export const prepare = (ask: Ask, call: Call, { presented, gathered, taken }: Found): Prepared | Refusal => {
  const { truth } = gathered
  const actor = who(ask, call.caller, call.bundle)
  if (isRefusal(actor)) return actor
  const problems: Problem[] = []
  const links = linksOf(ask, problems)
  problems.push(...misnamedSession(ask, actor))
  const kept = redact(withoutProofs(ask), call.bundle.settings.privacy)
  const judged: Judged = kept.denied
    ? { ask, program: NO_PROGRAM, denied: kept.denied }
    : judge(ask, actor, taken ? { ...call, taken } : call, gathered, problems)
  const { program, denied, asked } = judged
  const intent = intentOf(judged.ask, actor, call)
  const { hash, argumentsHash } = hashesOf(intent)
  // what was masked must not be guessed back from what is kept of the intent
  const shown = kept.masked ? { ...intent, ...shownOf(kept.ask) } : intent
  const keptHash = kept.masked ? actionHash(shown) : hash
  const named = intentHash(shown, argumentsType(ask.action.name, call.bundle.schema)) ?? keptHash
  const { body, secrets, claims } = recordOf(kept.ask, actor, call.caller, {
    ...(!kept.masked && { actionHash: hash }),
    fields: fieldsFor(program, kept.ask.context),
    edge: call.edge,
    truth: kept.masked ? maskedTruth(truth, kept.ask) : truth,
    ...(call.requestId && { requestId: call.requestId }),
  })
  const { came, telling } = cameOf(ask, truth, call.bundle)
  // What holds a credential can be shown to nobody, so nobody can approve it.
  const liftable = !kept.masked && program.legs.some(leg => leg.forbids.some(forbid => forbid.liftable))
  return {
    ask,
    ...(presented && { presented }),
    who: actor,
    object: objectOf(actor, call),
    claims,
    ...(telling && { telling }),
    item: {
      evaluationId: uuidv7(),
      actionHash: keptHash,
      ...(named !== hash && { intent: named }),
      targets: targetsOf(ask, actor, call),
      ...(call.bundle.settings.redeem_only.includes(ask.action.name) && { redeem: true }),
      // where no policy asks what went before, nothing is remembered
      ...(asked &&
        call.bundle.remembers && {
          step: stepOf(kept.ask, actor, asked, call),
          reads: call.bundle.remembered,
          ...linkedOf(actor, call.caller),
        }),
      program,
      ...(denied && { denied }),
      ...(came && { came }),
      ...links,
      ...(truth && { wait: { ms: call.bundle.facts.waitMs, needs: needsOf(truth, call.bundle) } }),
      body,
      secrets,
      permitMs: PERMIT_MS,
      ...(liftable && { binding: bindingOf(ask, actor, call, { intent, actionHash: hash }, truth) }),
      ...(presented && { approval: presented }),
    },
    intent: { hash, argumentsHash },
  }
}

/** What a request is presented with is signed by us or by sources: no credential of anybody's. */
const withoutProofs = (ask: Ask): Ask => {
  const { approval, attestations, ...context } = ask.context ?? {}
  return approval === undefined && attestations === undefined ? ask : { ...ask, context }
}

const shownOf = ({ action, resource }: Ask) => ({ resource, arguments: action.properties ?? {} })

/** The same where something was masked: of what was claimed only that is kept. */
const maskedTruth = (truth: Truth | undefined, { context }: Ask): Truth | undefined => {
  const shown = isObject(context?.claims) ? context.claims : {}
  return (
    truth && {
      ...truth,
      claims: new Map([...truth.claims].map(([name, claim]) => [name, { ...claim, json: shown[name] ?? null }])),
    }
  )
}

/** What an approval binds. Of the context that a PEP states, the address changes with the path that a call takes. */
const bindingOf = (
  ask: Ask,
  { asserts }: Who,
  { bundle, caller }: Call,
  { intent, actionHash }: Pick<Binding, 'intent' | 'actionHash'>,
  truth: Truth | undefined,
): Binding => {
  const members = asserts ? environmentNames(ask.action.name, bundle.schema).filter(name => name !== 'ip') : []
  const contextMembers = members.filter(name => Object.hasOwn(ask.context ?? {}, name))
  const session = sessionOf(ask, asserts, caller)
  const facts = truth ? shownFacts(truth) : []
  return {
    actionHash,
    bindingHash: bindingHash(ask, contextMembers),
    contextMembers,
    intent,
    ...(facts.length > 0 && { facts }),
    ...(session !== '' && { session }),
  }
}

/** What is left of an action to be settled, rewritten where its permits say so, or why it is denied before that. */
export const judge = (
  ask: Ask,
  actor: Who,
  call: Pick<Call, 'bundle' | 'edge' | 'taken'>,
  { truth, asked: read }: Gathered,
  problems: Problem[],
): Judged => {
  const { bundle, edge } = call
  const evaluated = (asIs: Ask): Judged => {
    const no = (denied: Judged['denied'] & object): Judged => ({ ask: asIs, program: NO_PROGRAM, denied })
    if (actor.unknown) return no({ reason: actor.unknown })
    if (call.taken) return no({ reason: call.taken === 'yes' ? 'revoked' : 'control_unreachable' })
    // A rewritten action wasn't read yet.
    const asked = read && asIs === ask ? knowing(read, truth, bundle) : what(asIs, actor, bundle, edge, truth)
    if ('reason' in asked) return no(asked)
    if (problems.length > 0) return no({ reason: 'schema_mismatch', problems })
    const denied = untrue(truth, bundle)
    if (denied) return no(denied)
    return { ask: asIs, program: programOf(actor, asked, asIs.context, bundle, truth, edge.now), asked }
  }
  return rewritten(evaluated(ask), bundle, evaluated)
}

/** What the agent means to do, with the arguments as they are to be used. */
export const intentOf = (ask: Ask, { principals }: Who, { tenant }: Pick<Call, 'tenant'>): Intent => ({
  tenant,
  principals,
  action: ask.action.name,
  resource: ask.resource,
  arguments: ask.action.properties ?? {},
})

/** What a permit says of it. */
export const hashesOf = (intent: Intent) => ({
  hash: actionHash(intent),
  argumentsHash: contentHash(intent.arguments),
})

export const objectOf = (
  { principals: { actor }, unknown }: Who,
  call: Pick<Call, 'tenant' | 'bundle' | 'caller'>,
): Prepared['object'] => {
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

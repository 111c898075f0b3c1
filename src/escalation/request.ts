import * as v from 'valibot'
import type { RequestReply, StepUp } from '../agent/calls/approvals.ts'
import type { AgentObject } from '../agent/object.ts'
import { isPerson } from '../audit/privacy/acting.ts'
import { ownerOf } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import type { EntityUid } from '../cedar/json.ts'
import { actorOf } from '../decision/actor.ts'
import { Ask, read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { who } from '../decision/who.ts'
import { contentHash, sha256 } from '../durable/hash.ts'
import type { Caller } from '../identity/caller.ts'
import type { SigningEnv } from '../identity/keys.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'
import { type Escalation, escalationOf, groupsOf } from '../policy/escalation.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { barredFrom } from './approver.ts'
import { bindingHash, readBinding } from './binding.ts'
import type { OpenCall, Requirement, Target } from './call.ts'
import { takeKey } from './store.ts'

/** A request for approval as the profile has it (Access Request Submission). Members that it doesn't know are ignored. */
const Text = v.pipe(v.string(), v.maxLength(2_048))
const Time = v.pipe(
  v.string(),
  v.check(text => RFC3339.test(text) && !Number.isNaN(Date.parse(text)), 'not an RFC 3339 timestamp'),
)
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

const Denial = v.object({
  evaluation_id: v.optional(Text),
  evaluated_at: v.optional(Time),
  expires_at: Time,
  reason: v.optional(Text),
  binding_token: v.optional(v.pipe(v.string(), v.maxLength(16_384))),
  template: v.optional(Text),
})

type Actor = { id?: string | undefined; sub?: string | undefined; act?: Actor | undefined }
const Actor: v.GenericSchema<Actor> = v.object({
  id: v.optional(Text),
  sub: v.optional(Text),
  act: v.optional(v.lazy(() => Actor)),
})

export const Submission = v.object({
  ...Ask.entries,
  denial: Denial,
  requested_access: v.optional(v.object({ requested_until: v.optional(Time), emergency: v.optional(v.boolean()) })),
  callback: v.optional(
    v.object({
      endpoint: Text,
      state: v.optional(v.pipe(v.string(), v.maxLength(1_024))),
      events: v.optional(v.array(v.picklist(['approved', 'denied', 'expired', 'cancelled', 'failed', 'partial']))),
    }),
  ),
  client: v.optional(
    v.pipe(
      v.looseObject({ actor: v.optional(Actor) }),
      v.check(client => JSON.stringify(client).length <= 4_096, 'at most 4096 characters'),
    ),
  ),
})
export type Submission = v.InferOutput<typeof Submission>

export type RequestDeps = {
  db: D1Database
  agents: DurableObjectNamespace<AgentObject>
  env: SigningEnv
  vault: Vault
  tenant: string
  identifier: string
  bundle: LoadedBundle
  caller: Caller
  now: number
  /** Whether a denial that isn't known as requestable was a decision at all. */
  wasDecided: (evaluationId: string) => Promise<boolean>
}

/** How long an Idempotency-Key stands for its request: as long as any task is kept. */
const KEY_MS = 40 * 86_400_000
const SKEW_MS = 30_000

/**
 * Takes the Idempotency-Key for this body, or says that it was used with another one. `task` is what a bundle would be
 * called; the one that was taken first stands.
 */
export const takeKeyFor = async (
  json: unknown,
  key: string,
  { db, tenant, caller, now }: RequestDeps,
  task: string,
): Promise<{ task: string } | Refusal> => {
  const hashed = sha256(JSON.stringify([tenant, caller.name, key]))
  const taken = await takeKey(db, { key: hashed, bodyHash: contentHash(json), task, now, until: now + KEY_MS })
  return taken ?? refusal(409, 'duplicate_request')
}

/**
 * Reads a request for approval and binds it to the denial that it names: to what the agent's object recorded, never to
 * what the requester says. Answers with what is to be opened.
 */
export const requestOf = async (json: unknown, deps: RequestDeps, at = ''): Promise<OpenCall | Refusal> => {
  const submission = read(Submission, json, at)
  if (isRefusal(submission)) return submission
  const { bundle, caller, now } = deps
  const asking = who(submission, caller, bundle)
  if (isRefusal(asking)) return asking
  if (asking.unknown) return refusal(403, asking.unknown)
  if (!provesActor(submission, asking.principals)) return refusal(403, 'unverified_actor', { pointer: '/client/actor' })
  const { privacy } = bundle.settings
  const { as, name } = await actorOf(asking.principals.actor, deps.tenant, { privacy, vault: deps.vault })
  const bound = await denialOf(submission, name, deps)
  if (isRefusal(bound)) return bound
  const { task, stepUp, evaluationId } = bound
  const requirements = requirementsOf(stepUp, bundle)
  if (!requirements) return refusal(400, 'not_requestable', { detail: 'the policy has changed; evaluate again' })
  const justification = justificationOf(submission, stepUp, bundle)
  if (typeof justification === 'object') return justification
  const callback = callbackOf(submission, bundle)
  if (callback && isRefusal(callback)) return callback
  const until = submission.requested_access?.requested_until
  if (until !== undefined && Date.parse(until) <= now)
    return refusal(400, 'malformed_request', { pointer: '/requested_access/requested_until', detail: 'is past' })

  const { subject, action, resource, context } = submission
  return openCall(
    {
      task,
      evaluationId,
      stepUp,
      principals: stepUp.intent.principals,
      ask: { subject, action, resource, context },
      object: name,
      as,
      requester: caller.name,
      requirements,
      barred: barredFrom(stepUp.intent.principals, bundle),
      ...(submission.client && { client: JSON.stringify(submission.client) }),
      ...(justification !== undefined && { justification }),
      ...(until !== undefined && { requestedUntil: Date.parse(until) }),
      ...(callback && { callback }),
    },
    deps,
  )
}

type Opening = Pick<
  OpenCall,
  | 'task'
  | 'evaluationId'
  | 'object'
  | 'principals'
  | 'requester'
  | 'barred'
  | 'client'
  | 'justification'
  | 'requestedUntil'
  | 'callback'
  | 'widening'
> & {
  stepUp: Omit<StepUp, 'expiresAt'>
  ask: unknown
  /** The name that the one who asks goes by: people have a pseudonym. */
  as: EntityUid
  /** When it would be of no use any more, where that is known. */
  notAfter?: number
  requirements: { terms: Escalation; requirement: Requirement }[]
}

/** What an escalation's object is opened with: how it is decided is settled here, and no later caller changes it. */
export const openCall = (
  { stepUp, ask, as, requirements, notAfter = Number.POSITIVE_INFINITY, ...opening }: Opening,
  { tenant, identifier, bundle, now }: Pick<RequestDeps, 'tenant' | 'identifier' | 'bundle' | 'now'>,
): OpenCall => {
  const { actor } = opening.principals
  const terms = requirements.map(({ terms: one }) => one)
  const { privacy } = bundle.settings
  const acting = isPerson(actor, privacy) ? actor : undefined
  const { user = acting } = stepUp.intent.principals
  const about = ownerOf({ resource: stepUp.intent.resource, ...(user && { user }) }, privacy) ?? acting
  return {
    v: 1,
    tenant,
    identifier,
    ...opening,
    agent: uidText(actor),
    ...(acting && { recordAs: uidText(as) }),
    ...(stepUp.session !== undefined && { session: stepUp.session }),
    ask: JSON.stringify(ask),
    intent: JSON.stringify(stepUp.intent),
    actionHash: stepUp.actionHash,
    bindingHash: stepUp.bindingHash,
    ...(stepUp.facts && { facts: JSON.stringify(stepUp.facts) }),
    requirements: requirements.map(({ requirement }) => requirement),
    notify: notifyOf(terms.flatMap(groupsOf), bundle),
    outgoing: bundle.settings.outgoing ?? [],
    ...(about && { about }),
    like: likeOf(stepUp, uidText(actor)),
    bundle: { seq: bundle.seq, hash: bundle.hash },
    at: now,
    expiresAt: Math.min(notAfter, ...terms.map(({ expiresMs }) => now + expiresMs)),
  }
}

/** Whatever chain a requester claims must be the one that its token proves (profile, Delegation). */
const provesActor = ({ client }: Submission, { actor, chain }: PrincipalChain): boolean => {
  const claimed: (string | undefined)[] = []
  for (let act = client?.actor; act; act = act.act) claimed.push(act.id ?? act.sub)
  if (claimed.length === 0) return true
  const proven = [actor, ...chain]
  return (
    claimed.length === proven.length &&
    proven.every((uid, index) => claimed[index] === uid.id || claimed[index] === uidText(uid))
  )
}

const denialOf = async (
  submission: Submission,
  name: string,
  { agents, env, identifier, now, wasDecided }: RequestDeps,
): Promise<{ task: string; stepUp: StepUp; evaluationId: string } | Refusal> => {
  const { denial } = submission
  const invalid = (detail: string) => refusal(400, 'invalid_denial_binding', { pointer: '/denial', detail })
  const echoed = Date.parse(denial.expires_at)
  const token =
    denial.binding_token === undefined
      ? undefined
      : await readBinding(env, denial.binding_token, { tenant: identifier, now })
  if (token?.kind === 'invalid') return invalid('the binding token is not one of ours')
  const evaluationId = token?.evaluationId ?? denial.evaluation_id
  if (evaluationId === undefined) return invalid('neither a binding token nor an evaluation_id')
  if (denial.evaluation_id !== undefined && denial.evaluation_id !== evaluationId)
    return invalid('the binding token is that of another evaluation')
  if (token && token.expiresAt > echoed) return invalid('expires_at is not that of the denial')
  const object = agents.getByName(name)
  // Asked at the time that is left of what the requester echoes, so that the earlier of the two counts.
  const at = token && echoed + SKEW_MS < now ? Number.MAX_SAFE_INTEGER / 2 : now
  const found: RequestReply = await object.request({ v: 1, evaluationId, at })
  if (found.kind === 'expired') return refusal(410, 'expired_denial')
  if (found.kind === 'too_many') return refusal(429, 'too_many_requests', { retryAfter: 60 })
  if (found.kind === 'unknown')
    return (await wasDecided(evaluationId))
      ? refusal(400, 'not_requestable', { pointer: '/denial/evaluation_id' })
      : invalid('no such evaluation')
  const { task } = found
  const stepUp: StepUp = JSON.parse(found.stepUp)
  const sent = bindingHash(submission, stepUp.contextMembers)
  if (sent !== stepUp.bindingHash || (token && token.bindingHash !== stepUp.bindingHash))
    return invalid('subject, resource, action or context differ from the denied evaluation')
  return { task, stepUp, evaluationId }
}

/** What each forbid asks for now. `undefined` where one's text isn't what it was: its approval would be void. */
const requirementsOf = ({ forbids }: StepUp, { rules, texts }: LoadedBundle): Opening['requirements'] | undefined => {
  const found = forbids.flatMap(({ policy, textHash }) => {
    const rule = rules.get(policy)
    const terms = rule && escalationOf(rule)
    if (!rule || !terms || rule.textHash !== textHash) return []
    const { doc } = rule
    const text = texts.get(policy) ?? ''
    const requirement = requirementOf({ policy, textHash, text, ...(doc !== undefined && { doc }) }, terms)
    return [{ terms, requirement }]
  })
  return found.length === forbids.length ? found : undefined
}

export const requirementOf = (
  named: Pick<Requirement, 'policy' | 'textHash' | 'text' | 'doc'>,
  terms: Escalation,
): Requirement => ({
  ...named,
  group: terms.group,
  approvals: terms.approvals,
  chain: terms.chain,
  ...(terms.remindMs !== undefined && { remindMs: terms.remindMs }),
  validMs: terms.validMs,
  approverReason: terms.reasons.approver,
  signIn: terms.signIn,
  ...(terms.standing && { standing: terms.standing }),
  groupable: terms.groupable,
})

const justificationOf = (
  { context }: Submission,
  { forbids }: StepUp,
  { rules }: LoadedBundle,
): string | undefined | Refusal => {
  const needed = forbids.some(({ policy }) => rules.get(policy)?.reasons?.requester)
  const given = context?.business_justification
  const pointer = '/context/business_justification'
  if (given === undefined && !needed) return undefined
  if (typeof given !== 'string' || given.trim() === '')
    return refusal(400, 'malformed_request', { pointer, detail: 'a text that says why' })
  return given.length > 2_000
    ? refusal(400, 'malformed_request', { pointer, detail: 'at most 2000 characters' })
    : given
}

/** Only to a webhook that the tenant has registered. */
const callbackOf = ({ callback }: Submission, { settings }: LoadedBundle): OpenCall['callback'] | Refusal => {
  if (!callback) return undefined
  const known = Object.entries(settings.webhooks).find(
    ([, { url, format }]) => url === callback.endpoint && format === 'json',
  )
  if (!known) return refusal(400, 'callback_refused', { pointer: '/callback/endpoint' })
  const [webhook, { url, format }] = known
  return {
    target: { webhook, url, format },
    ...(callback.state !== undefined && { state: callback.state }),
    ...(callback.events && { events: callback.events }),
  }
}

const notifyOf = (groups: string[], { settings }: LoadedBundle): Record<string, Target[]> =>
  Object.fromEntries(
    [...new Set(groups)].map(group => [
      group,
      (settings.approvers[group]?.notify ?? []).flatMap(({ webhook, approver }) => {
        const target = settings.webhooks[webhook]
        return target ? [{ webhook, ...target, ...(approver && { approver }) }] : []
      }),
    ]),
  )

/** Of requests that differ only in what they are about: one agent, for one user, doing one thing to one type. */
const likeOf = ({ intent, forbids }: Omit<StepUp, 'expiresAt'>, agent: string): string =>
  contentHash([
    agent,
    intent.principals.user ? uidText(intent.principals.user) : null,
    intent.action,
    intent.resource.type,
    forbids.map(({ policy }) => policy),
  ])

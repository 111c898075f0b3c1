import type { RequestReply, StepUp } from '../agent/calls/approvals.ts'
import type { AgentObject } from '../agent/object.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { actorOf } from '../decision/actor.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { who } from '../decision/who.ts'
import { contentHash, sha256 } from '../durable/hash.ts'
import type { Caller } from '../identity/caller.ts'
import type { SigningEnv } from '../identity/keys.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'
import { escalationOf } from '../policy/escalation.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { barredFrom } from './approver.ts'
import { bindingHash, readBinding } from './binding.ts'
import type { OpenCall } from './call.ts'
import { type Opening, openCall, requirementOf } from './opening.ts'
import { takeKey } from './store.ts'
import { Submission } from './submission.ts'

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

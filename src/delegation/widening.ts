import type { Binding } from '../agent/calls/approvals.ts'
import type { DelegateCall, WidenReply } from '../agent/calls/delegate.ts'
import { redact } from '../audit/privacy/redact.ts'
import { sealSecrets } from '../audit/privacy/seal.ts'
import { actorOf } from '../decision/actor.ts'
import { actionHash, type Intent } from '../decision/intent.ts'
import { targetsOfAuthority } from '../decision/targets.ts'
import { withDeadline } from '../durable/deadline.ts'
import { nameOf } from '../durable/names.ts'
import { barredFrom } from '../escalation/approver.ts'
import { bindingHash } from '../escalation/binding.ts'
import type { EscalationState, Widening } from '../escalation/call.ts'
import { openCall, requirementOf } from '../escalation/opening.ts'
import { taskOf } from '../escalation/task.ts'
import type { Lineage } from '../identity/lineage.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { bare, uidText } from '../identity/uid.ts'
import { type WideningTerms, wideningOf } from '../policy/exchange.ts'
import type { Addition } from './beyond.ts'
import type { ExchangeDeps, Held } from './deps.ts'
import type { Parties } from './parties.ts'
import { recordOf, subjectsOf } from './record.ts'
import { type OAuthRefusal, oauthRefusal, refusedBy } from './refusal.ts'
import type { ExchangeRequest } from './request.ts'

/** What keeps a delegation from having more than there is, as forbids have ids: no policy's has a slash. */
const FORBID = 'tenant.json/exchange/widening'
/** What is asked for, as actions have names. */
const ACTION = 'urn:ietf:params:oauth:grant-type:token-exchange'
const DEADLINE_MS = 5_000
/** How soon it may be asked again, in seconds (RFC 8628, 3.5). */
const INTERVAL = 5

type Wanting = { id: string; principals: PrincipalChain; added: Addition[]; from: Lineage }

/**
 * The humans' approval of a delegation of more than there is to hand on; or that it waits for them, with the task by
 * which that can be followed. What they approve is this exchange alone: who hands on to whom and for whom, the key, what
 * is asked, what is there, and what is added to it.
 */
export const widened = async (
  request: ExchangeRequest,
  parties: Parties,
  wanting: Wanting,
  held: Held,
  deps: ExchangeDeps,
): Promise<(DelegateCall['widened'] & object) | OAuthRefusal> => {
  const { tenant, bundle, now } = deps
  const terms = wideningOf(bundle.settings)
  if (!terms) return oauthRefusal('invalid_authorization_details', 'grant_widens')
  if (terms.reasons.requester && !request.justification)
    return oauthRefusal('invalid_request', 'malformed_request', 'justification: a text that says why')
  const { id, principals, from } = wanting
  const { delegator } = parties
  const { actor } = delegator.principals
  const ask = askOf(request, parties, principals)
  // It would have to be shown.
  if (redact(ask, bundle.settings.privacy).masked)
    return oauthRefusal('invalid_authorization_details', 'credential_refused')
  const widening = wideningIn(request, parties, wanting)
  const binding = bindingOf(ask, widening, { parties, jkt: held.jkt, terms, tenant })
  const forbids = [{ policy: FORBID, group: terms.group, textHash: terms.textHash }]
  const { body, secrets } = recordOf(
    {
      id,
      principals,
      jkt: held.jkt,
      about: {
        outcome: 'step_up',
        reason: 'approval_required',
        forbids: forbids.map(({ policy, textHash }) => ({ policy, text_hash: textHash })),
      },
      // Who the user is stands there by itself, where it can be erased.
      secrets: { widening: { asked: widening.asked, has: widening.has, added: widening.added } },
    },
    parties,
  )
  try {
    const { as, name } = await actorOf(actor, tenant, { privacy: bundle.settings.privacy, vault: deps.vault })
    const reply = await withDeadline<WidenReply>(
      deps.agents.getByName(name).widen({
        v: 1,
        tenant,
        agent: uidText(as),
        id,
        now,
        attempts: bundle.attempts,
        proofs: held.proofs,
        lineage: from,
        epoch: deps.epoch,
        targets: targetsOfAuthority({ ...delegator, principals }, bundle),
        terms: { ...binding, forbids },
        body,
        secrets: await sealSecrets(secrets, subjectsOf(principals), bundle.settings.privacy, deps.vault),
      }),
      DEADLINE_MS,
    )
    if (reply.kind === 'refused') return refusedBy(reply)
    if (reply.kind === 'approved') return { approval: reply.approval, binding, forbids }
    const text = JSON.stringify(bundle.settings.exchange?.widening, null, 2)
    const doc = 'A delegation asks for more than there is to hand on.'
    const opening = openCall(
      {
        task: reply.task,
        evaluationId: reply.id,
        stepUp: { ...binding, forbids },
        principals: delegator.principals,
        ask,
        object: name,
        as,
        requester: delegator.name,
        requirements: [
          { terms, requirement: requirementOf({ policy: FORBID, textHash: terms.textHash, text, doc }, terms) },
        ],
        barred: barredFrom(principals, bundle),
        widening: JSON.stringify(widening),
        // A token of our own is not renewed: what comes from it is asked for while it lives.
        ...(delegator.delegations && { notAfter: parties.expires * 1000 }),
        ...(request.justification !== undefined && { justification: request.justification }),
      },
      deps,
    )
    // Opened each time it is asked, which is no harm: once it may have been lost on the way.
    const state = await withDeadline<EscalationState>(
      deps.escalations.getByName(nameOf('escalation', tenant, reply.task)).open(opening),
      DEADLINE_MS,
    )
    const { task } = await taskOf(state, { identifier: deps.identifier })
    return { ...oauthRefusal('authorization_pending', 'approval_required', undefined, INTERVAL), task }
  } catch (error) {
    console.warn('humans could not be asked about a delegation:', error)
    return oauthRefusal('temporarily_unavailable', 'control_unreachable', undefined, 1)
  }
}

/** The exchange as AuthZEN writes actions. */
const askOf = ({ items, expiresIn }: ExchangeRequest, { delegator }: Parties, { actor: child }: PrincipalChain) => ({
  subject: bare(delegator.principals.actor),
  action: {
    name: ACTION,
    properties: { authorization_details: items, ...(expiresIn !== undefined && { expires_in: expiresIn }) },
  },
  resource: bare(child),
})

const wideningIn = (
  { items }: ExchangeRequest,
  { delegator, user }: Parties,
  { principals, added }: Wanting,
): Widening => ({
  child: bare(principals.actor),
  ...(user && { user: bare(user.uid) }),
  asked: [...items],
  has: (delegator.grants ?? []).map(grant => ({ grant: grant.id, items: [...grant.items] })),
  added,
})

const bindingOf = (
  ask: ReturnType<typeof askOf>,
  { has, added, user }: Widening,
  { parties, jkt, terms, tenant }: { parties: Parties; jkt: string; terms: WideningTerms; tenant: string },
): Binding => {
  const { principals, session } = parties.delegator
  const intent: Intent = {
    tenant,
    principals: { ...principals, ...(user && { user }) },
    action: ask.action.name,
    resource: ask.resource,
    arguments: { ...ask.action.properties, has, added, key: jkt, terms: terms.textHash },
  }
  return {
    actionHash: actionHash(intent),
    bindingHash: bindingHash(ask, []),
    contextMembers: [],
    intent,
    ...(session !== undefined && { session }),
  }
}

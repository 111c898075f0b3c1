import type { StepUp } from '../agent/calls/approvals.ts'
import { isPerson } from '../audit/privacy/acting.ts'
import { ownerOf } from '../audit/privacy/seal.ts'
import type { EntityUid } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import { uidText } from '../identity/uid.ts'
import { type Escalation, groupsOf } from '../policy/escalation.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { OpenCall, Requirement, Target } from './call.ts'

/** What is to be opened: what is asked, for whom, and what each forbid asks of humans. */
export type Opening = Pick<
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
  { tenant, identifier, bundle, now }: { tenant: string; identifier: string; bundle: LoadedBundle; now: number },
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

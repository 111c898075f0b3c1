import type { Caller } from '../identity/caller.ts'
import type { Signer } from '../identity/keys.ts'
import { uidText } from '../identity/uid.ts'
import type { EscalationState } from './call.ts'
import { approvalState } from './presented.ts'
import { progressOf } from './vote.ts'

/** A task as a PEP sees it (profile, Access Request Response). Who the approvers are is none of its business. */
export const taskOf = async (
  state: EscalationState,
  { identifier, signer }: { identifier: string; signer?: Signer },
) => {
  const { open, approval } = state
  const status = state.status === 'approving' ? 'pending' : state.status
  const endpoint = `${identifier}/access/v1/requests/${open.task}`
  const { approvals } = progressOf(state)
  const needed = approvals.reduce((sum, one) => sum + one.needed, 0)
  const given = approvals.reduce((sum, one) => sum + Math.min(one.given, one.needed), 0)
  return {
    task: {
      id: open.task,
      status,
      status_endpoint: endpoint,
      expires_at: new Date(state.handleUntil).toISOString(),
      ...(status === 'pending' && {
        progress: { current_step: Math.min(given + 1, needed), total_steps: needed },
        links: { cancel: `${endpoint}/cancel` },
      }),
      display: { title: TITLES[status] },
    },
    ...(status === 'approved' &&
      approval &&
      signer && {
        result: {
          mode: 'reevaluate',
          approval: {
            id: approval.id,
            approved_at: new Date(approval.at).toISOString(),
            approved_until: new Date(approval.until).toISOString(),
            state: await approvalState(signer, identifier, { ...open, ...approval }),
          },
        },
      }),
  }
}

const TITLES = {
  pending: 'Waits for approval',
  approved: 'Approved: evaluate again',
  denied: 'Refused',
  expired: 'Nobody answered in time',
  cancelled: 'Withdrawn',
  failed: 'Failed',
} as const

/**
 * Whether a caller may deal with a task: the agent that it is for, acting for the same user, or a PEP. Having made the
 * request is neither needed nor enough.
 */
export const actsFor = ({ roles, principals }: Caller, { open }: Pick<EscalationState, 'open'>): boolean => {
  if (roles.includes('pep')) return true
  return principals !== undefined && sameChain(principals) === sameChain(open.principals)
}

const sameChain = ({ actor, chain, user }: NonNullable<Caller['principals']>): string =>
  JSON.stringify([[actor, ...chain].map(uidText), user ? uidText(user) : null])

import type { ResolveCall, ResolveReply } from '../agent/calls/approvals.ts'
import type { AgentObject } from '../agent/object.ts'
import { saidIn } from '../agent/resolutions.ts'
import { sealAll } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { commitmentsOf } from '../audit/receipt.ts'
import type { EntityUid } from '../cedar/json.ts'
import { withDeadline } from '../durable/deadline.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { EscalationState, Status } from './call.ts'
import { enqueueCallback } from './deliveries.ts'
import { KEEP_MS } from './open.ts'
import { isOver, readOpen, readState } from './state.ts'

/**
 * The end of an escalation, and its way to the agent's object. What a human approved is `approving` until that object
 * has it: `approved` is never seen before it can be used (rule 5).
 */

const DEADLINE_MS = 10_000

/** Ends the request, once. In the caller's transaction. */
export const decideAs = (
  storage: DurableObjectStorage,
  end: {
    status: Exclude<Status, 'pending'>
    at: number
    withdrawn?: ResolveCall['withdrawn']
    approval?: EscalationState['approval']
  },
): void => {
  storage.sql.exec(
    `UPDATE escalation SET status = ?, decided_at = ?, withdrawn = ?, approval = ?, handle_until = ?, changes = changes + 1
     WHERE status = 'pending'`,
    end.status,
    end.at,
    end.withdrawn ? JSON.stringify(end.withdrawn) : null,
    end.approval ? JSON.stringify(end.approval) : null,
    Math.max(end.at, end.approval?.until ?? 0) + KEEP_MS,
  )
  plan(storage, 'deliver', '', end.at)
  plan(storage, 'index', '', end.at)
  plan(storage, 'forget', '', Math.max(end.at, end.approval?.until ?? 0) + FORGET_MS)
  if (isOver(end.status)) enqueueCallback(storage, end.at)
}

/** Tells the agent's object. `changed` is called when the status that others see has changed. */
export const delivering = (
  storage: DurableObjectStorage,
  agents: DurableObjectNamespace<AgentObject>,
  vault: (tenant: string) => Vault,
  clock: () => number,
  changed: () => void,
): Handler => ({
  run: async () => {
    const state = readState(storage)
    const call = state && resolveCall(storage, state)
    if (!state || !call) return
    const { about, tenant } = state.open
    // Where that can't be sealed it isn't delivered, and tried again.
    const secrets = about && (await sealedIn(call, about, vault(tenant)))
    const reply = await withDeadline<ResolveReply>(
      agents.getByName(state.open.object).resolve({ ...call, ...(secrets && { secrets }) }),
      DEADLINE_MS,
    )
    if (state.status !== 'approving') return
    storage.transactionSync(() => {
      const { rowsWritten } = storage.sql.exec(
        "UPDATE escalation SET status = ?, changes = changes + 1 WHERE status = 'approving'",
        reply.kind === 'taken' ? 'approved' : 'failed',
      )
      if (rowsWritten === 0) return
      plan(storage, 'index', '', clock())
      enqueueCallback(storage, clock())
    })
    changed()
  },
  next: () => undefined,
})

/** At its time's end a request that still waits is a denial. */
export const expiring = (storage: DurableObjectStorage, clock: () => number, changed: () => void): Handler => ({
  run: () => {
    const open = readOpen(storage)
    if (open?.status !== 'pending' || clock() < open.open.expiresAt) return
    storage.transactionSync(() => decideAs(storage, { status: 'expired', at: clock() }))
    changed()
  },
  next: () => {
    const open = readOpen(storage)
    return open?.status === 'pending' ? Math.max(open.open.expiresAt, clock()) : undefined
  },
})

/** Longer than the record can be asked for and than anything is still to be sent. */
const FORGET_MS = 10 * 86_400_000

const sealedIn = async (call: ResolveCall, about: EntityUid, vault: Vault): Promise<ResolveCall['secrets']> => {
  const said = saidIn(call)
  return { commitments: commitmentsOf(said), sealed: await sealAll(said, about, vault) }
}

const resolveCall = (storage: DurableObjectStorage, state: EscalationState): ResolveCall | undefined => {
  const { open, status, decidedAt, votes, approval } = state
  if (status === 'pending' || status === 'failed' || decidedAt === undefined) return undefined
  const { withdrawn } = storage.sql.exec<{ withdrawn: string | null }>('SELECT withdrawn FROM escalation').one()
  const forbids = open.requirements.map(({ policy, textHash }) => ({ policy, textHash }))
  const { actionHash, bindingHash, task } = open
  return {
    v: 1,
    tenant: open.tenant,
    agent: open.recordAs ?? open.agent,
    task,
    evaluationId: open.evaluationId,
    status: status === 'approving' ? 'approved' : status,
    forbids,
    answers: votes.map(({ counts: _, scope: __, ...answer }) => answer),
    requester: {
      name: open.requester,
      ...(open.client !== undefined && { client: open.client }),
      ...(open.justification !== undefined && { justification: open.justification }),
    },
    ...(withdrawn !== null && { withdrawn: JSON.parse(withdrawn) }),
    at: decidedAt,
    ...(approval && {
      approval: {
        id: approval.id,
        task,
        actionHash,
        bindingHash,
        lifts: forbids,
        until: approval.until,
        uses: approval.uses,
        ...(approval.scope && { scope: approval.scope }),
        ...(approval.facts && { facts: approval.facts }),
      },
    }),
  }
}

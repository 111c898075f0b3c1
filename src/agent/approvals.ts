import type { ApprovalUse } from '../audit/receipt.ts'
import { outside, type Scope } from '../escalation/scope.ts'
import { type BoundFact, changedSince } from '../facts/shown.ts'
import type { Liftable } from '../settle/program.ts'
import type { Settlement } from '../settle/settle.ts'
import type { Approval, Binding, StepUp } from './calls/approvals.ts'
import type { DecideItem } from './calls/decide.ts'

/** Why an approval that was presented doesn't help. */
export type ApprovalRefusal =
  | 'approval_unverifiable'
  | 'approval_mismatch'
  | 'out_of_scope'
  | 'facts_changed'
  | 'approval_revoked'
  | 'approval_used'
  | 'approval_expired'
  | 'approval_void'

/** What is to be allowed, and the approval that came with it. */
type Presenting = Pick<DecideItem, 'binding' | 'approval'>

/** The approvals that may speak for one item: the one that was presented, and standing ones. */
export type Approvals = {
  /** Whether a human's approval lifts this forbid for this very action. */
  approved: (policy: string, forbid: Liftable) => boolean
  /** Takes one use of what lifted these forbids. Only in the transaction that allows the action. */
  consume: (lifted: string[], evaluationId: string) => ApprovalUse[]
  /** Why what was presented doesn't lift these forbids. */
  refusal: (policies: string[]) => ApprovalRefusal | undefined
}

export const approvalsFor = ({ sql }: DurableObjectStorage, item: Presenting, now: number): Approvals => {
  const { binding, approval: presented } = item
  const presentedRow = presented && sql.exec<Row>('SELECT * FROM approval WHERE id = ?', presented.id).toArray()[0]
  const refused = presented && (presented.verified ? refusalOf(presentedRow, item, now) : 'approval_unverifiable')
  const readUsable = () => {
    const standing = binding
      ? sql.exec<Row>('SELECT * FROM approval WHERE scope IS NOT NULL AND until > ? AND uses > 0', now).toArray()
      : []
    return [...(presentedRow && !refused ? [presentedRow] : []), ...standing]
      .filter((row, index, all) => all.findIndex(other => other.id === row.id) === index)
      .filter(row => refusalOf(row, item, now) === undefined)
      .map(row => ({ row, lifts: liftsOf(row) }))
  }
  let usable: ReturnType<typeof readUsable> | undefined
  const lifting = (policy: string, textHash: string) => {
    // Most actions that a human could let pass need none.
    usable ??= readUsable()
    return usable.find(({ lifts }) => lifts.some(lift => lift.policy === policy && lift.textHash === textHash))
  }
  const textHashes = new Map<string, string>()

  return {
    approved: (policy, { textHash }) => {
      textHashes.set(policy, textHash)
      return lifting(policy, textHash) !== undefined
    },
    consume: (lifted, evaluationId) => {
      const used = new Map<string, ApprovalUse>()
      for (const policy of lifted) {
        const found = lifting(policy, textHashes.get(policy) ?? '')
        if (!found) throw new Error(`policy ${policy} was lifted by nothing`)
        const { id, until, scope } = found.row
        const use = used.get(id) ?? { id, until, standing: scope !== null, policies: [] }
        use.policies.push(policy)
        used.set(id, use)
      }
      for (const id of used.keys())
        sql.exec('UPDATE approval SET uses = uses - 1, used_by = ? WHERE id = ?', evaluationId, id)
      return [...used.values()]
    },
    refusal: policies => {
      if (!presented) return undefined
      if (refused) return refused
      const lifts = presentedRow ? liftsOf(presentedRow) : []
      return policies.some(policy => lifts.some(lift => lift.policy === policy)) ? 'approval_void' : undefined
    },
  }
}

/** One approval, where it lifts all of these; `consume` only in the transaction that does what it allows. */
export const approvalFor = (
  storage: DurableObjectStorage,
  { approval, binding, forbids }: { approval: string; binding: Binding; forbids: StepUp['forbids'] },
  now: number,
): { consume: (by: string) => ApprovalUse[] } | { kind: 'refused'; reason: ApprovalRefusal } => {
  const approvals = approvalsFor(storage, { binding, approval: { id: approval, verified: true } }, now)
  const policies = forbids.map(({ policy }) => policy)
  return forbids.every(forbid => approvals.approved(forbid.policy, forbid))
    ? { consume: by => approvals.consume(policies, by) }
    : { kind: 'refused', reason: approvals.refusal(policies) ?? 'approval_void' }
}

/** Keeps what a human granted. Again is no harm. */
export const keepApproval = ({ sql }: DurableObjectStorage, approval: Approval): void => {
  const { id, task, actionHash, bindingHash, lifts, until, uses, scope, facts } = approval
  sql.exec(
    `INSERT INTO approval (id, task, action_hash, binding_hash, lifts, until, uses, scope, facts)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    id,
    task,
    actionHash,
    bindingHash,
    JSON.stringify(lifts),
    until,
    uses,
    scope ? JSON.stringify(scope) : null,
    facts ? JSON.stringify(facts) : null,
  )
}

type Row = {
  id: string
  task: string
  action_hash: string
  binding_hash: string
  lifts: string
  until: number
  uses: number
  used_by: string | null
  scope: string | null
  facts: string | null
  revoked: number
}

const factsOf = ({ facts }: Row): BoundFact[] => (facts === null ? [] : JSON.parse(facts))

const liftsOf = ({ lifts }: Row): Approval['lifts'] => JSON.parse(lifts)

/** The state of the approval comes after its scope: whoever asks for something else learns nothing of it. */
const refusalOf = (row: Row | undefined, { binding }: Presenting, now: number): ApprovalRefusal | undefined => {
  if (!row) return 'approval_unverifiable'
  if (!binding) return undefined
  const scope: Scope | undefined = row.scope === null ? undefined : JSON.parse(row.scope)
  if (scope) {
    const problem = outside(scope, binding)
    if (problem) return problem
  } else if (row.action_hash !== binding.actionHash || row.binding_hash !== binding.bindingHash) {
    return 'approval_mismatch'
  } else if (changedSince(factsOf(row), binding.facts ?? []).length > 0) {
    return 'facts_changed'
  }
  if (row.revoked) return 'approval_revoked'
  if (row.uses <= 0) return 'approval_used'
  return row.until > now ? undefined : 'approval_expired'
}

/** What a decision says once approvals were looked at: why one didn't help, and what to do next. */
export const withRefusal = <T extends Pick<Settlement, 'outcome' | 'policies'> & { reason: string }>(
  settled: T,
  approvals: Approvals,
): T | (Omit<T, 'reason' | 'outcome'> & { outcome: Settlement['outcome']; reason: ApprovalRefusal }) => {
  if (settled.outcome !== 'step_up') return settled
  const reason = approvals.refusal(settled.policies)
  if (!reason) return settled
  // What can't be verified says nothing about this action, so it isn't the way to ask for it either.
  return { ...settled, reason, outcome: reason === 'approval_unverifiable' ? 'deny' : 'step_up' }
}

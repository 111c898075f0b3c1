import type { DecisionRecord, StoredReceipt } from '../audit/receipt.ts'
import type { Decided } from './calls/decide.ts'

/** The answer that a decision's receipt stands for. An answer says nothing that isn't on record. */
export const decidedOf = ({ seq, hash, at }: StoredReceipt, decision: DecisionRecord): Decided => ({
  kind: 'decided',
  evaluationId: decision.evaluation_id,
  outcome: decision.outcome,
  reason: decision.reason,
  at,
  ...(decision.expires_at !== undefined && { expiresAt: decision.expires_at }),
  ...(decision.redeem && { redeem: true }),
  policies: decision.policies,
  missing: decision.missing ?? [],
  ...(decision.wait_until !== undefined && { waitUntil: decision.wait_until }),
  ...(decision.continues !== undefined && { continues: decision.continues }),
  ...(decision.retry_after !== undefined && { retryAfter: decision.retry_after }),
  ...(decision.refused_by && { refusedBy: decision.refused_by }),
  ...(decision.quota !== undefined && { quota: decision.quota }),
  ...(decision.duties !== undefined && { duties: decision.duties }),
  ...(decision.problems !== undefined && { problems: decision.problems }),
  ...(decision.escalate && {
    escalate: {
      expiresAt: decision.escalate.expires_at,
      forbids: decision.escalate.forbids.map(({ policy, text_hash }) => ({ policy, textHash: text_hash })),
    },
  }),
  ...(decision.approvals && { approvals: decision.approvals }),
  ...(decision.presented !== undefined && { presented: decision.presented }),
  ...(decision.rewrite && { rewrite: decision.rewrite }),
  bundle: decision.bundle.hash,
  receipt: { seq, hash },
})

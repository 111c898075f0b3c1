import * as v from 'valibot'
import type { Binding } from '../agent/calls/approvals.ts'
import type { Decided } from '../agent/calls/decide.ts'
import type { Signer } from '../identity/keys.ts'
import type { RuleMeta } from '../policy/annotations.ts'
import { escalationOf } from '../policy/escalation.ts'
import { signBinding } from './binding.ts'

/** `context.access_request` of a requestable denial (Access Request and Approval Profile, Requestable Denial Context). */
export const AccessRequest = v.object({
  endpoint: v.string(),
  /** The approver group that is asked. */
  template: v.string(),
  expires_at: v.pipe(v.string(), v.isoTimestamp()),
  binding_token: v.string(),
  /** There where a request must say more than the denied evaluation did. */
  request_schema_url: v.optional(v.string()),
  display: v.object({ title: v.string(), description: v.string() }),
})
export type AccessRequest = v.InferOutput<typeof AccessRequest>

export const requestable = async (
  decided: Decided,
  binding: Binding,
  at: { tenant: string; signer: Signer; rules: ReadonlyMap<string, RuleMeta> },
): Promise<AccessRequest | undefined> => {
  const { escalate } = decided
  if (!escalate) return undefined
  // Under another bundle than it was decided by, a replayed denial may name what no longer can be lifted.
  const terms = escalate.forbids.map(({ policy }) => escalationOf(at.rules.get(policy) ?? {}))
  if (terms.some(one => one === undefined)) return undefined
  const known = terms.filter(one => one !== undefined)
  const groups = [...new Set(known.map(({ group }) => group))]
  return {
    endpoint: `${at.tenant}/access/v1/requests`,
    template: groups.join('+'),
    expires_at: new Date(escalate.expiresAt).toISOString(),
    binding_token: await signBinding(at.signer, at.tenant, { ...decided, escalate }, binding),
    ...(known.some(({ reasons }) => reasons.requester) && {
      request_schema_url: `${at.tenant}/access/v1/request-schemas/justification.json`,
    }),
    display: {
      title: 'Approval required',
      description: `The action is allowed once ${groups.join(' and ')} has approved it.`,
    },
  }
}

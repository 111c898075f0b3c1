/**
 * Every code that a caller can meet, with the sentence that explains it. Denials and problem details draw from this one
 * list, so that a client can switch on `reason` and a reader can look it up.
 */
export const reasons = {
  // decided by policy
  permitted: 'A policy permits the action and none forbids it.',
  forbidden: 'A policy forbids the action.',
  not_permitted: 'No policy permits the action for every principal it needs.',
  policy_error: 'A forbid could not be evaluated, so it counts as matching.',
  rate_limited: 'A rate limit is exhausted; `retry_after` says when there is room again.',
  budget_exhausted: 'A budget is exhausted.',
  approval_required: 'A policy asks a human to approve the action.',
  facts_missing: 'The policies hang on something that is not known yet; `missing` names it.',
  duty_missing: 'The request lacks a field that policy demands.',
  // decided by state
  suspended: 'The agent is suspended.',
  chain_fork: "The agent's receipt chain was contradicted, so nothing more is decided on it.",
  // decided by the request
  unknown_agent: "The token is genuine, but the tenant's bundle knows no such agent.",
  unknown_principal: "The tenant's bundle knows no entity of the subject's type.",
  unknown_action: "The tenant's schema has no such action.",
  credential_refused:
    'The request holds what looks like a credential, which the tenant refuses; `problems` points to it.',
  redaction_failed: 'What must not be stored in clear could not be masked or encrypted.',
  schema_mismatch: "The request doesn't fit the schema; `problems` points to the places.",
  // decided by the state of the control plane
  no_policy: 'The tenant has no bundle of policies.',
  bundle_stale: 'The policies could not be confirmed as current within the stated bound.',
  control_unreachable: 'The decision could not be settled in time; nothing may be taken as allowed.',
  overloaded: 'The agent asks for more decisions than its object can settle.',
  // not decisions: problems with the call (RFC 9457)
  unauthenticated: 'No bearer token was given.',
  invalid_token: 'The token was refused.',
  invalid_dpop_proof: 'The token is bound to a key, and no proof of it that holds came with the call.',
  use_dpop_nonce: 'The proof must carry the nonce that this answer gives in `DPoP-Nonce`.',
  issuer_unavailable: "The keys of the token's issuer can't be had now, so the token can't be judged.",
  forbidden_role: "The token's roles don't cover this call.",
  subject_mismatch: 'An agent may only ask for itself, or for the user it acts for.',
  malformed_request: "The request's shape is wrong; `pointer` names the place.",
  malformed_json: 'The body is not JSON that has one meaning.',
  unsupported_media_type: 'The body must be application/json.',
  body_too_large: 'The body is over 64 KiB.',
  too_many_attempts: 'Too many attempts; this is not a decision.',
  idempotency_mismatch: 'The Idempotency-Key was used with another request.',
  record_unsound: 'What is to be moved or restored is not what the log vouches for: verify the record.',
  not_cosigned: 'None of the lines is a valid cosignature of a witness that the tenant lists.',
  not_found: 'There is nothing here.',
  method_not_allowed: 'This path does not take that method.',
  internal: 'The control plane failed; nothing may be taken as allowed.',
} as const satisfies Record<string, string>

export type Reason = keyof typeof reasons

import * as v from 'valibot'
import type { Ask } from '../decision/ask.ts'
import type { Signer, SigningEnv } from '../identity/keys.ts'
import { signOwn, verifyOwn } from '../identity/own.ts'

/** The approval as it travels: from the task's result through the PEP to `context.approval` of the next evaluation. */
export const ApprovalObject = v.looseObject({
  id: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  approved_at: v.optional(v.string()),
  approved_until: v.optional(v.string()),
  state: v.optional(v.unknown()),
})

export type Presented = { id: string; verified: boolean }

/**
 * The approval that an evaluation presents. Its `id` is looked up in the agent's object; where a `state` comes along, it
 * must be ours and of the same approval. An approval of a wrong shape is one that can't be verified, not a bad request.
 */
export const presentedIn = async (
  ask: Ask,
  env: SigningEnv,
  at: { tenant: string; now: number },
): Promise<Presented | undefined> => {
  const given = ask.context?.approval
  if (given === undefined) return undefined
  const approval = v.safeParse(ApprovalObject, given)
  if (!approval.success) return { id: '', verified: false }
  const { id, state } = approval.output
  if (state === undefined) return { id, verified: true }
  if (typeof state !== 'string') return { id, verified: false }
  const verified = await verifyOwn(env, state, { type: 'approval+jwt', ...at })
  // That it has lapsed is told by the object, which knows the approval.
  const claims = verified.ok ? verified.claims : verified.lapsed
  return { id, verified: claims?.approval_id === id }
}

/** The proof that travels with an approval (profile, Completion Semantics: `approval.state`). */
export const approvalState = (
  signer: Signer,
  tenant: string,
  approval: { id: string; task: string; evaluationId: string; actionHash: string; at: number; until: number },
): Promise<string> =>
  signOwn(signer, 'approval+jwt', {
    iss: tenant,
    aud: tenant,
    iat: Math.floor(approval.at / 1000),
    exp: Math.ceil(approval.until / 1000),
    approval_id: approval.id,
    task: approval.task,
    evaluation_id: approval.evaluationId,
    action_hash: approval.actionHash,
  })

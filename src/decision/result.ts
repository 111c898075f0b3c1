import type { Decided, DecideReply } from '../agent/calls/decide.ts'
import { openSecrets } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { requestable } from '../escalation/requestable.ts'
import { claimsIn } from '../facts/written.ts'
import type { Signer } from '../identity/keys.ts'
import { signPermit } from '../identity/permit.ts'
import { type Answer, answerOf, type Tells, unrecorded } from './answer.ts'
import type { Call } from './call.ts'
import { judgedOf } from './legs.ts'
import { hashesOf, intentOf, type Prepared } from './prepare.ts'
import { type Refusal, refusal } from './refusal.ts'
import { applied } from './rewrite.ts'

export type Result = Answer | Refusal

type ResultDeps = { signer: Signer; vault: Vault }

type Settled = Exclude<DecideReply[number], { kind: 'stale_bundle' | 'chain_fork' }>

/** What was settled, signed and answered. */
export const resultOf = async (
  settled: Settled,
  item: Prepared,
  call: Call,
  { signer, vault }: ResultDeps,
): Promise<Result> => {
  switch (settled.kind) {
    case 'decided': {
      const permit = await permitOf(settled, item, call, signer)
      const request = await requestOf(settled, item, call, signer)
      const { set = {} } = settled.rewrite ?? {}
      const args = Object.keys(set).length > 0 ? applied(item.ask, { set }).action.properties : undefined
      return answerOf(settled, {
        explain: explains(call),
        judged: judgedOf(item.who, call.bundle),
        facts: call.bundle.facts,
        claims: settled.replayed ? await claimsAgain(settled, vault) : item.claims,
        tells: tellsOf(call),
        waitAt: waitAt(settled, item, call),
        ...(permit !== undefined && { permit }),
        ...(request && { request }),
        ...(args && { arguments: args }),
      })
    }
    case 'too_many_attempts':
      return refusal(429, 'too_many_attempts', { retryAfter: settled.retryAfter })
    case 'untold':
      return closed('control_unreachable', item, call)
    case 'idempotency_mismatch':
      return refusal(422, 'idempotency_mismatch')
    case 'replayed_proof':
      return refusal(401, 'invalid_dpop_proof')
  }
}

/** What an answer that is given again says of claims: what its receipt does, where the key that it lies under can be had. */
const claimsAgain = async ({ claims = [], sealedFacts }: Decided, vault: Vault) => {
  if (!sealedFacts) return claims
  try {
    return claimsIn(await openSecrets({ facts: sealedFacts }, vault))
  } catch (error) {
    console.warn(`an answer is given again without its claims: ${error}`)
    return []
  }
}

/** How a human can be asked, where that is what the decision wants. Signed as permits are: once, after the commit. */
const requestOf = async (decided: Decided, { item }: Prepared, call: Call, signer: Signer) =>
  item.binding && requestable(decided, item.binding, { tenant: call.identifier, signer, rules: call.bundle.rules })

/** Signed after the commit, and the same each time: only the signature is made anew for a retry. */
const permitOf = async (decided: Decided, item: Prepared, call: Call, signer: Signer): Promise<string | undefined> => {
  if (decided.expiresAt === undefined) return undefined
  // A retry's answer is that of its receipt, even where the policies have come to rewrite otherwise.
  const asIs = !decided.rewrite && !item.item.program.rewrite
  const used = decided.rewrite ? applied(item.ask, decided.rewrite) : item.ask
  const { hash: actionHash, argumentsHash } = asIs ? item.intent : hashesOf(intentOf(used, item.who, call))
  return signPermit(signer, {
    tenant: call.identifier,
    evaluationId: decided.evaluationId,
    principals: item.who.principals,
    action: item.ask.action.name,
    resource: item.ask.resource,
    argumentsHash,
    actionHash,
    bundle: decided.bundle,
    ...(decided.redeem && { redeem: true }),
    issuedAt: decided.at,
    expiresAt: decided.expiresAt,
  })
}

const waitAt = ({ evaluationId }: Decided, { who: { principals } }: Prepared, { identifier }: Call): string => {
  const { type, id } = principals.actor
  return [identifier, 'v1', 'waits', ...[type, id, evaluationId].map(encodeURIComponent)].join('/')
}

/** Agents are told what contradicts them where the declaration lets them know. */
export const tellsOf =
  ({ caller, bundle }: Pick<Call, 'caller' | 'bundle'>): Tells =>
  name =>
    seesAll(caller) || bundle.facts.declared.get(name)?.disclose === true

const explains = ({ caller, bundle }: Call): boolean => bundle.settings.explain_to_agents || seesAll(caller)

const seesAll = ({ roles }: Call['caller']): boolean =>
  roles.some(role => role === 'pep' || role === 'admin' || role === 'auditor')

export type Unrecorded = Parameters<typeof unrecorded>[0]

/** A denial that is on no record. */
export const closed = (reason: Unrecorded, { item }: Prepared, { edge, bundle }: Call): Answer =>
  unrecorded(reason, {
    evaluationId: item.evaluationId,
    now: edge.now,
    bundle: bundle.hash,
    ...(reason === 'overloaded' && { retryAfter: 1 }),
  })

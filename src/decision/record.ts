import { base64url } from 'jose'
import { type Body, commitment, type Secret } from '../audit/receipt.ts'
import { type ClaimRecord, recordsOf } from '../facts/record.ts'
import { claimsOf, written } from '../facts/written.ts'
import type { Caller } from '../identity/caller.ts'
import { bare } from '../identity/uid.ts'
import { assertedIn } from './act.ts'
import type { Ask } from './ask.ts'
import type { Edge } from './call.ts'
import type { Truth } from './known.ts'
import { sessionOf } from './step.ts'
import type { Who } from './who.ts'

/**
 * The request's part of a receipt. What may be personal (who asks for whom, about what, with which arguments) stands in
 * it as a commitment, with salt and value beside, so that it can be erased and the chain still verifies.
 */
export const recordOf = (
  ask: Ask,
  { principals, groups, grants, asserts }: Who,
  caller: Caller,
  more: {
    actionHash?: string
    edge: Edge
    truth: Truth | undefined
    fields: Record<string, string>
    requestId?: string
  },
): { body: Body; secrets: Record<string, Secret>; claims: ClaimRecord[] } => {
  const { actor, chain, user } = principals
  const personal: Record<string, unknown> = {
    caller: caller.name,
    resource: { id: ask.resource.id, type: ask.resource.type },
    arguments: ask.action.properties ?? {},
    // The action's hash covers the arguments and could be guessed back to them, so it is committed to as well.
    ...(more.actionHash !== undefined && { action_hash: more.actionHash }),
  }
  if (user) personal.user = bare(user)
  if (Object.keys(more.fields).length > 0) personal.fields = more.fields
  if (asserts) {
    const { properties: resource } = ask.resource
    const { context } = ask
    // What isn't there must not stand here as `undefined`: the value is hashed again from the JSON that was stored.
    const asserted = { ...assertedIn(ask.subject), ...(resource && { resource }), ...(context && { context }) }
    if (Object.keys(asserted).length > 0) personal.asserted = asserted
  }
  // What was believed then: with it a decision can be judged again when the ledger says otherwise.
  const records = more.truth ? recordsOf(more.truth) : []
  if (records.length > 0) personal.facts = written(records)
  if (more.edge.ip !== undefined && !asserts) personal.ip = more.edge.ip
  if (grants.length > 0) personal.grants = grants
  const secrets = salted(personal)
  const session = sessionOf(ask, asserts, caller)
  const body: Body = {
    agent: bare(actor),
    ...(chain.length > 0 && { delegated_by: chain }),
    action: ask.action.name,
    resource_type: ask.resource.type,
    issuer: caller.issuer,
    now: more.edge.now,
    ...(groups.length > 0 && { groups }),
    roles: caller.roles,
    ...(session !== '' && { session }),
    ...(more.requestId !== undefined && { request_id: more.requestId }),
  }
  for (const [name, secret] of Object.entries(secrets)) body[name] = commitment(secret)
  return { body, secrets, claims: claimsOf(records) }
}

const SALT_BYTES = 16

/** Each value with a salt of its own. */
const salted = (values: Record<string, unknown>): Record<string, Secret> => {
  const names = Object.keys(values)
  const random = crypto.getRandomValues(new Uint8Array(names.length * SALT_BYTES))
  const secrets: Record<string, Secret> = {}
  for (const [index, name] of names.entries()) {
    const salt = base64url.encode(random.subarray(index * SALT_BYTES, (index + 1) * SALT_BYTES))
    secrets[name] = { salt, value: values[name] }
  }
  return secrets
}

import { convertRecord } from '../cedar/convert.ts'
import { evaluate } from '../cedar/evaluate.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { RecordType } from '../cedar/type.ts'
import { type EntityRef, entityRef, type Value } from '../cedar/value.ts'
import type { Ask } from '../decision/ask.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { OpenCall } from './call.ts'

/** The approver groups that the bundle puts a person in. Someone whom it doesn't list is in none. */
export const groupsOfApprover = (approver: EntityUid, { entities, settings }: LoadedBundle): string[] => {
  const { key } = entityRef(approver.type, approver.id)
  const ancestors = entities.get(key)?.ancestors
  return Object.entries(settings.approvers)
    .filter(([, { entity }]) => ancestors?.has(entityRef(entity.type, entity.id).key))
    .map(([group]) => group)
}

/**
 * Who must not approve what these ask for: themselves, the user that they act for, and whoever owns one of the agents
 * (the attribute `owner`, an entity or a set of them).
 */
export const barredFrom = ({ actor, chain, user }: PrincipalChain, { entities }: LoadedBundle): string[] => {
  const acting = [actor, ...chain]
  const owners = acting.flatMap(({ type, id }) => refsIn(entities.get(entityRef(type, id).key)?.attrs.get('owner')))
  return [...new Set([...acting, ...(user ? [user] : []), ...owners].map(uidText))]
}

/**
 * Where the schema declares an action `approve`, policies say who may approve what: the principal is the approver, the
 * resource that of the request, and its arguments are whatever of `agent`, `user`, `action` and `arguments` (those that
 * it declares in turn) the schema wants to know. What can't be judged so is refused.
 */
export const mayApprove = (approver: EntityUid, open: OpenCall, bundle: LoadedBundle, now: number): boolean => {
  const { schema, policies, entities } = bundle
  const action = schema.actions.get(entityRef('Action', 'approve').key)
  if (!action) return true
  const ask: Ask = JSON.parse(open.ask)
  const { actor, user } = open.principals
  const wanted = recordAt(action.context, 'arguments')
  const given = {
    agent: actor,
    ...(user && { user }),
    action: ask.action.name,
    arguments: declared(recordAt(wanted, 'arguments'), ask.action.properties ?? {}),
  }
  const known = { arguments: declared(wanted, given), now: new Date(now).toISOString() }
  const context = convertRecord(action.context, declared(action.context, known))
  if (!context.ok || !action.principals.includes(approver.type) || !action.resources.includes(ask.resource.type))
    return false
  const request = { principal: approver, action: action.uid, resource: ask.resource, context: context.value }
  const { permit, forbid } = evaluate(policies, request, entities)
  return permit.satisfied.length > 0 && forbid.satisfied.length + forbid.errored.length + forbid.unknown.length === 0
}

const NOTHING: RecordType = { kind: 'record', attributes: new Map(), open: false }

const recordAt = ({ attributes }: RecordType, name: string): RecordType => {
  const type = attributes.get(name)?.type
  return type?.kind === 'record' ? type : NOTHING
}

const declared = ({ attributes }: RecordType, json: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(json).filter(([name]) => attributes.has(name)))

const refsIn = (value: Value | undefined): EntityRef[] => {
  if (typeof value !== 'object') return []
  if (value.kind === 'entity') return [value]
  return value.kind === 'set' ? value.items.flatMap(refsIn) : []
}

import * as v from 'valibot'
import { TENANT_TARGET } from '../agent/kills.ts'
import { ancestorsOf } from '../cedar/entities.ts'
import type { EntityUid } from '../cedar/json.ts'
import { uidText } from '../identity/uid.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { sessionOf } from './step.ts'
import type { Who } from './who.ts'

const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(512))

/** What a kill switch stops. */
export const Target = v.variant('kind', [
  v.object({ kind: v.literal('tenant') }),
  v.object({ kind: v.picklist(['agent', 'user', 'group']), type: Name, id: Name }),
  v.object({ kind: v.picklist(['session', 'action', 'tool']), id: Name }),
])
export type Target = v.InferOutput<typeof Target>

/** What a switch and the actions that it stops are compared by, within a tenant. */
export const targetName = (target: Target): string => {
  if (target.kind === 'tenant') return TENANT_TARGET
  return JSON.stringify('type' in target ? [target.kind, target.type, target.id] : [target.kind, target.id])
}

export const targetText = (target: Target): string =>
  target.kind === 'tenant' ? 'tenant' : `${target.kind} ${'type' in target ? uidText(target) : target.id}`

/**
 * All that an action is about: whoever stops one of these stops it. A tool is the caller that asks (a gateway or a tool
 * server, by its name as the record has it), or what a gateway calls it in the request's `tool`.
 */
export const targetsOf = (
  ask: Ask,
  { principals, groups, asserts }: Who,
  call: Pick<Call, 'bundle' | 'caller'>,
): string[] => {
  const { actor, chain, user } = principals
  const stated = asserts && typeof ask.context?.tool === 'string' ? [ask.context.tool] : []
  const targets: Target[] = [
    { kind: 'tenant' },
    ...[actor, ...chain].map(({ type, id }): Target => ({ kind: 'agent', type, id })),
    ...(user ? [{ kind: 'user', type: user.type, id: user.id } as const] : []),
    // whom a gateway asks about may be a user itself
    ...(asserts ? [{ kind: 'user', type: actor.type, id: actor.id } as const] : []),
    ...[actor, ...chain, ...(user ? [user] : [])]
      .flatMap(uid => groupsOf(uid, call))
      .concat(groups.flatMap(group => [group, ...groupsOf(group, call)]))
      .map(({ type, id }): Target => ({ kind: 'group', type, id })),
    { kind: 'session', id: sessionOf(ask, asserts, call.caller) },
    { kind: 'action', id: ask.action.name },
    ...(asserts ? [call.caller.name, ...stated] : []).map((id): Target => ({ kind: 'tool', id })),
  ]
  return [...new Set(targets.map(targetName))]
}

const groupsOf = (uid: EntityUid, { bundle }: Pick<Call, 'bundle'>): EntityUid[] => ancestorsOf(uid, bundle.entities)

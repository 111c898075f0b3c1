import * as v from 'valibot'
import { sessionTarget, TENANT_TARGET } from '../agent/kills.ts'
import { ancestorsOf } from '../cedar/entities.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { Caller } from '../identity/caller.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
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
  if (target.kind === 'session') return sessionTarget(target.id)
  return JSON.stringify('type' in target ? [target.kind, target.type, target.id] : [target.kind, target.id])
}

export const targetText = (target: Target): string =>
  target.kind === 'tenant' ? 'tenant' : `${target.kind} ${'type' in target ? uidText(target) : target.id}`

/**
 * All that an action is about: whoever stops one of these stops it. A tool is the caller that asks (a gateway or a tool
 * server, by its name as the record has it), or what a gateway calls it in the request's `tool`.
 */
export const targetsOf = (ask: Ask, who: Who, call: Pick<Call, 'bundle' | 'caller'>): string[] => {
  const { asserts } = who
  const stated = asserts && typeof ask.context?.tool === 'string' ? [ask.context.tool] : []
  const targets: Target[] = [
    ...[sessionOf(ask, asserts, call.caller), ...(asserts ? [] : (call.caller.within ?? []))].map(
      (id): Target => ({ kind: 'session', id }),
    ),
    { kind: 'action', id: ask.action.name },
    ...(asserts ? [call.caller.name, ...stated] : []).map((id): Target => ({ kind: 'tool', id })),
  ]
  return [...new Set([...parties(who, call), ...targets.map(targetName)])]
}

/** The same of authority, whatever is done by it: who has it, from whom, for whom and in which session. */
export const targetsOfAuthority = (
  {
    principals,
    groups,
    session,
    within,
  }: Pick<Caller, 'groups' | 'session' | 'within'> & { principals: PrincipalChain },
  bundle: LoadedBundle,
): string[] => [
  ...new Set([
    ...partiesOf({ principals, groups, asserts: false }, bundle),
    ...[session ?? '', ...(within ?? [])].map(id => targetName({ kind: 'session', id })),
  ]),
]

/** Of all that acts. For an agent that speaks for itself they are the same each time. */
const parties = (who: Who, { bundle, caller }: Pick<Call, 'bundle' | 'caller'>): readonly string[] => {
  if (who.asserts) return partiesOf(who, bundle)
  const known = partiesKnown.get(caller)
  if (known && known.bundle === bundle && known.principals === who.principals) return known.names
  const names = partiesOf(who, bundle)
  partiesKnown.set(caller, { bundle, principals: who.principals, names })
  return names
}

const partiesKnown = new WeakMap<
  Caller,
  { bundle: LoadedBundle; principals: PrincipalChain; names: readonly string[] }
>()

const partiesOf = (
  { principals, groups, asserts }: Pick<Who, 'principals' | 'groups' | 'asserts'>,
  bundle: LoadedBundle,
): string[] => {
  const { actor, chain, user } = principals
  const groupsOf = (uid: EntityUid): EntityUid[] => ancestorsOf(uid, bundle.entities)
  const targets: Target[] = [
    { kind: 'tenant' },
    ...[actor, ...chain].map(({ type, id }): Target => ({ kind: 'agent', type, id })),
    ...(user ? [{ kind: 'user', type: user.type, id: user.id } as const] : []),
    // whom a gateway asks about may be a user itself
    ...(asserts ? [{ kind: 'user', type: actor.type, id: actor.id } as const] : []),
    ...[actor, ...chain, ...(user ? [user] : [])]
      .flatMap(groupsOf)
      .concat(groups.flatMap(group => [group, ...groupsOf(group)]))
      .map(({ type, id }): Target => ({ kind: 'group', type, id })),
  ]
  return targets.map(targetName)
}

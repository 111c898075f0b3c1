import type { DecideItem, Step } from '../agent/calls/decide.ts'
import type { Problem } from '../cedar/convert.ts'
import { entityRef } from '../cedar/value.ts'
import type { Caller } from '../identity/caller.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import type { What } from './what.ts'
import type { Who } from './who.ts'

type Asked = Pick<Call, 'caller' | 'bundle'>

/** What the action would add to its session. The session is the token's; a gateway may name one in the request. */
export const stepOf = (ask: Ask, who: Who, what: What, asked: Asked): Step => stepBy(ask, who, what, asked, classOf)

/** What a filter adds: by it the action may be done to any resource of the type. */
export const stepOfAll = (ask: Ask, who: Who, what: What, asked: Asked): Step =>
  stepBy(ask, who, what, asked, classOfAll)

const stepBy = (
  ask: Ask,
  { asserts }: Who,
  what: What,
  { caller, bundle }: Asked,
  classBy: (what: What, bundle: LoadedBundle) => Step['read'],
): Step => {
  const said = asserts ? ask.context : undefined
  const request = textOf(said?.original_request, 4_000)
  const read = classBy(what, bundle)
  return {
    action: ask.action.name,
    ...(read && { read }),
    ...(request !== undefined && { request }),
    resource: uidText(ask.resource),
    session: sessionOf(ask, asserts, caller),
    type: what.resource.type,
  }
}

/** As many as a kill switch can name, in UTF-16 units. */
const SESSION_CHARS = 512

/** Where a gateway names a session in a way that can't be told apart from other sessions. */
export const misnamedSession = ({ context }: Ask, { asserts }: Pick<Who, 'asserts'>): Problem[] => {
  const said = asserts ? context?.session_id : undefined
  if (said === undefined || textOf(said, SESSION_CHARS) !== undefined) return []
  return [
    { pointer: '/context/session_id', code: 'mistyped', expected: `a string of 1 to ${SESSION_CHARS} characters` },
  ]
}

/** Whether the session must be known to come from another. A gateway names what it likes. */
export const linkedOf = ({ asserts }: Pick<Who, 'asserts'>, { within }: Caller): Pick<DecideItem, 'linked'> =>
  !asserts && within ? { linked: true } : {}

/** Empty where nobody names one: then the agent has one session. */
export const sessionOf = (ask: Ask, asserts: boolean, caller: Caller): string =>
  (asserts ? textOf(ask.context?.session_id, SESSION_CHARS) : undefined) ?? caller.session ?? ''

/** The class of what is read. Where neither the resource nor its type says one, it is the level there is. */
const classOf = (what: What, bundle: LoadedBundle): Step['read'] => {
  const { attribute } = bundle.settings.data_classes
  const attrs = what.entities.get(entityRef(what.resource.type, what.resource.id).key)?.attrs
  const said = attribute === undefined ? undefined : attrs?.get(attribute)
  return isRead(what, bundle) ? classNamed(said ?? classOfType(what, bundle), bundle) : undefined
}

/** The same for all of a type. Where each may say its own, there may be one of the level there is. */
const classOfAll = (what: What, bundle: LoadedBundle): Step['read'] => {
  const { attribute } = bundle.settings.data_classes
  const shape = bundle.schema.entityTypes.get(what.resource.type)?.shape.attributes
  const says = attribute !== undefined && shape?.has(attribute) === true
  return isRead(what, bundle) ? classNamed(says ? undefined : classOfType(what, bundle), bundle) : undefined
}

const isRead = ({ action, entities }: What, { settings }: LoadedBundle): boolean => {
  const { reads } = settings.data_classes
  return !reads || reads.some(name => name === action.id || isWithin(action.key, name, entities))
}

const classOfType = ({ resource: { type } }: What, { settings }: LoadedBundle): string | undefined => {
  const { types } = settings.data_classes
  return Object.hasOwn(types, type) ? types[type] : undefined
}

const classNamed = (name: unknown, { settings }: LoadedBundle): Step['read'] => {
  const { levels } = settings.data_classes
  const known = typeof name === 'string' ? levels.indexOf(name) : -1
  const level = known >= 0 ? known : levels.length - 1
  return { class: levels[level] ?? '', level }
}

const isWithin = (action: string, group: string, entities: What['entities']): boolean =>
  [...(entities.get(action)?.ancestors ?? [])].some(key => entities.get(key)?.uid.id === group)

const textOf = (value: unknown, most: number): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= most ? value : undefined

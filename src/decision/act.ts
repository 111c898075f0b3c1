import * as v from 'valibot'
import type { EntityUid } from '../cedar/json.ts'
import { entityRef } from '../cedar/value.ts'
import { MAX_ACTORS, mapName } from '../identity/mapping.ts'
import type { PrincipalChain } from '../identity/principals.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { type Ask, Name, Properties, read } from './ask.ts'
import { isRefusal, type Refusal, refusal } from './refusal.ts'

/**
 * How a PEP says that an agent acts for the subject: `act` among the subject's properties, nested where others delegated
 * to the agent (Access Request and Approval Profile, Delegation and On-Behalf-Of; RFC 8693, 4.1). An actor is an entity,
 * as the subject is, or has the name that an issuer gives it.
 */
const Nested = { act: v.optional(v.unknown()) }
const Acting = v.object({ type: Name, id: Name, properties: v.optional(Properties), ...Nested })
const Issued = v.object({ iss: Name, sub: Name, ...Nested })

type Subject = Pick<Ask['subject'], 'type' | 'id' | 'properties'>

/** Who acts for the subject, by the word of a PEP; `undefined` where the subject itself does. */
export const statedBy = (
  { type, id, properties }: Subject,
  bundle: LoadedBundle,
): PrincipalChain | Refusal | undefined => {
  if (!hasAct(properties)) return undefined
  const actors: EntityUid[] = []
  let at = '/subject/properties/act'
  for (let act = properties.act; act !== undefined; at += '/act') {
    if (actors.length === MAX_ACTORS)
      return refusal(400, 'malformed_request', { pointer: at, detail: `at most ${MAX_ACTORS} actors` })
    const actor = actorIn(act, at, bundle)
    if (isRefusal(actor)) return actor
    actors.push(actor.uid)
    act = actor.act
  }
  const [actor, ...chain] = actors
  return actor && { actor, chain, user: { type, id } }
}

/** Whether a subject's properties say who acts for it. */
export const hasAct = (properties: Subject['properties']): properties is { act: unknown } =>
  properties !== undefined && Object.hasOwn(properties, 'act')

/** The properties of a subject: its own, and in `act` those of the agent that acts for it. */
export const assertedIn = ({ properties }: Subject): { subject?: Said | undefined; actor?: Said | undefined } => {
  if (!hasAct(properties)) return properties ? { subject: properties } : {}
  const { act, ...subject } = properties
  const actor = v.safeParse(Acting, act)
  return {
    ...(Object.keys(subject).length > 0 && { subject }),
    ...(actor.success && actor.output.properties && { actor: actor.output.properties }),
  }
}
type Said = Record<string, unknown>

/** The subject that says who acts for whom, and of what properties. */
export const subjectOf = ({ actor, user }: PrincipalChain, said: ReturnType<typeof assertedIn>): Subject => {
  const { subject, actor: properties } = said
  return user
    ? { ...user, properties: { ...subject, act: { ...actor, ...(properties && { properties }) } } }
    : { ...actor, ...(subject && { properties: subject }) }
}

/** One of those who are judged: by which name unknowns are called, and where the request speaks of it. */
export type Party = { uid: EntityUid; name: string; at: string; said?: Said }

export const partiesOf = (subject: Subject, { actor, chain, user }: PrincipalChain, asserts: boolean): Party[] => {
  const said = asserts ? assertedIn(subject) : {}
  const stated = asserts && user !== undefined
  const own = stated ? said.actor : said.subject
  const act = (depth: number) => (stated ? `/subject/properties${'/act'.repeat(depth)}` : '/subject')
  return [
    { uid: actor, name: 'principal', at: act(1), ...(own && { said: own }) },
    ...chain.map((uid, index) => ({ uid, name: `chain.${index}`, at: act(index + 2) })),
    ...(user
      ? [{ uid: user, name: 'user', at: '/subject', ...(stated && said.subject && { said: said.subject }) }]
      : []),
  ]
}

const actorIn = (act: unknown, at: string, bundle: LoadedBundle): { uid: EntityUid; act?: unknown } | Refusal => {
  const named = v.is(v.object({ iss: v.unknown() }), act) ? read(Issued, act, at) : read(Acting, act, at)
  if (isRefusal(named)) return named
  if ('type' in named) return { uid: { type: named.type, id: named.id }, act: named.act }
  const rule = bundle.settings.issuers.find(({ iss }) => iss === named.iss)?.agent
  const uid = rule && mapName(rule, named.sub)
  const known = uid && (rule.admit === 'all' || bundle.entities.get(entityRef(uid.type, uid.id).key) !== undefined)
  return known ? { uid, act: named.act } : refusal(403, 'unknown_agent', { pointer: at })
}

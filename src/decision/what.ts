import { convert, convertRecord, type Problem } from '../cedar/convert.ts'
import { type EntityData, type EntityStore, entityData, overlay } from '../cedar/entities.ts'
import type { EntityUid } from '../cedar/json.ts'
import { step } from '../cedar/pointer.ts'
import type { ActionType, Schema } from '../cedar/schema.ts'
import type { RecordType } from '../cedar/type.ts'
import { type CedarRecord, type EntityRef, entityRef, recordOf, unknown, type Value } from '../cedar/value.ts'
import { jcs } from '../durable/jcs.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { SESSION } from '../settle/program.ts'
import { partiesOf } from './act.ts'
import type { Ask } from './ask.ts'
import type { Edge } from './call.ts'
import { membersOf, type Truth } from './known.ts'
import type { Who } from './who.ts'

/** The action as the bundle's schema reads it: all that policies see. */
export type What = { action: EntityRef; resource: EntityUid; context: CedarRecord; entities: EntityStore }

export type Unfit = { reason: 'unknown_action' } | { reason: 'schema_mismatch'; problems: Problem[] }

/** Reads the request by the schema of the bundle; never guesses. Finds all problems. */
export const what = (
  ask: Ask,
  { principals, groups, asserts }: Who,
  bundle: LoadedBundle,
  edge: Edge,
  truth?: Truth,
): What | Unfit => {
  const action = actionNamed(ask.action.name, bundle.schema)
  if (!action) return { reason: 'unknown_action' }
  const { actor, user } = principals
  const problems: Problem[] = []

  if (!action.resources.includes(ask.resource.type)) {
    problems.push({ pointer: '/resource/type', code: 'mistyped', expected: action.resources.join(' or ') })
  }
  const parties = partiesOf(ask.subject, principals, asserts)
  const judged = parties.filter(({ uid }) => uid !== user || bundle.settings.judge_user)
  const misfit = judged.find(({ uid }) => !action.principals.includes(uid.type))
  if (misfit) {
    problems.push({ pointer: `${misfit.at}/type`, code: 'mistyped', expected: action.principals.join(' or ') })
  }
  const resource = { type: ask.resource.type, id: ask.resource.id }
  const named = asserts ? parties : parties.filter(({ uid }) => uid === actor)
  for (const { uid, at } of [...named, { uid: resource, at: '/resource' }]) {
    const ids = bundle.schema.entityTypes.get(uid.type)?.ids
    if (ids && !ids.includes(uid.id))
      problems.push({ pointer: `${at}/id`, code: 'malformed', expected: ids.join(' or ') })
  }

  if (truth) problems.push(...truth.problems)
  const context = contextOf(ask, action, asserts, edge, truth, problems)
  const extra: EntityData[] = []
  for (const { uid, name, at, said } of parties) {
    const given = said ? attributesOf(uid, said, bundle.schema, `${at}/properties`, problems) : []
    const memberOf = uid === actor ? groups : []
    if (given.length > 0 || memberOf.length > 0) extra.push(entityData(uid, given, memberOf))
    const absent = absentAttributes(uid, name, given, bundle)
    if (absent.length > 0) extra.push(entityData(uid, absent))
  }
  const { properties } = ask.resource
  const object =
    asserts && properties ? attributesOf(resource, properties, bundle.schema, '/resource/properties', problems) : []
  if (object.length > 0) extra.push(entityData(resource, object))
  const lacking = absentAttributes(resource, 'resource', object, bundle)
  if (lacking.length > 0) extra.push(entityData(resource, lacking))

  if (problems.length > 0 || !context) return { reason: 'schema_mismatch', problems }
  const entities = extra.length > 0 ? overlay(bundle.entities, extra) : bundle.entities
  return { action: action.uid, resource, context, entities }
}

/** The members of AuthZEN's context that policies may see, where the caller's word about them counts. */
export const environmentNames = (name: string, schema: Schema): string[] => {
  const environment = recordType(actionNamed(name, schema)?.context.attributes.get('environment')?.type)
  return [...(environment?.attributes.keys() ?? [])]
}

/** The type of an action's arguments, where it has any. */
export const argumentsType = (name: string, schema: Schema): RecordType | undefined =>
  recordType(actionNamed(name, schema)?.context.attributes.get('arguments')?.type)

/** The same action once it is known what it may rely upon. */
export const knowing = (asked: What, truth: Truth | undefined, { schema }: LoadedBundle): What | Unfit => {
  if (!truth) return asked
  if (truth.problems.length > 0) return { reason: 'schema_mismatch', problems: [...truth.problems] }
  const declared = schema.actions.get(asked.action.key)?.context.attributes
  const members = declared ? membersOf(declared, truth) : new Map<string, Value>()
  return members.size === 0 ? asked : { ...asked, context: recordOf([...asked.context.fields, ...members]) }
}

/** Actions are named by id alone: `check` refuses schemas in which that would be ambiguous. */
const actionNamed = (name: string, schema: Schema): ActionType | undefined => {
  const plain = schema.actions.get(entityRef('Action', name).key)
  if (plain) return plain
  for (const action of schema.actions.values()) if (action.uid.id === name) return action
  return undefined
}

/** Cedar's context has these members and no others, each only where the action's schema declares it. */
const contextOf = (
  ask: Ask,
  action: ActionType,
  asserts: boolean,
  edge: Edge,
  truth: Truth | undefined,
  problems: Problem[],
): CedarRecord | undefined => {
  const declared = action.context.attributes
  const properties = ask.action.properties ?? {}
  const json: Record<string, unknown> = {}
  const known = new Map(declared)
  // Arguments are judged first, apart, so that pointers lead into the caller's own JSON.
  const given = readArguments(recordType(declared.get('arguments')?.type), properties, problems)
  const now = declared.get('now')
  if (now && now.type.kind !== 'datetime') json.now = new Date(edge.now).toISOString()
  const environment = recordType(declared.get('environment')?.type)
  if (environment) json.environment = environmentOf(environment, ask, asserts, edge)
  const members = membersOf(declared, truth)
  if (now?.type.kind === 'datetime') members.set('now', { kind: 'datetime', epoch: edge.now })
  const session = declared.get('session')
  // The agent's object knows it; here it is left open.
  if (session) members.set('session', unknown(SESSION, session.type))
  for (const name of ['arguments', ...members.keys()]) known.delete(name)
  const rest = convertRecord({ kind: 'record', attributes: known, open: false }, json, '/context')
  if (!rest.ok) problems.push(...rest.problems.map(withoutEnvironment))
  if (!rest.ok || !given) return undefined
  if (declared.has('arguments')) members.set('arguments', given)
  return members.size === 0 ? rest.value : recordOf([...rest.value.fields, ...members])
}

/**
 * Required attributes that neither the bundle nor a gateway tells of. They are unknown, not absent: a policy that hangs
 * on one waits for whoever can say, by the name that stands here.
 */
const absentAttributes = (uid: EntityUid, name: string, given: Attributes, bundle: LoadedBundle): Attributes => {
  const shape = bundle.schema.entityTypes.get(uid.type)?.shape.attributes
  const known = bundle.entities.get(entityRef(uid.type, uid.id).key)?.attrs
  const absent: Attributes = []
  for (const [attribute, { type, required }] of shape ?? []) {
    if (!required || known?.has(attribute) || given.some(([each]) => each === attribute)) continue
    absent.push([attribute, unknown(`${name}.${attribute}`, type)])
  }
  return absent
}

const NOTHING: RecordType = { kind: 'record', attributes: new Map(), open: false }

const readArguments = (
  type: RecordType | undefined,
  properties: Record<string, unknown>,
  problems: Problem[],
): CedarRecord | undefined => {
  const { attributes } = type ?? NOTHING
  if (!attributes.has('extra')) return settleArguments(type ?? NOTHING, properties, problems)
  // `extra` holds what isn't declared, as text; a caller's own `extra` is just one of those.
  const isDeclared = (name: string) => name !== 'extra' && attributes.has(name)
  const entries = Object.entries(properties)
  const declared = Object.fromEntries(entries.filter(([name]) => isDeclared(name)))
  const undeclared = Object.fromEntries(entries.filter(([name]) => !isDeclared(name)))
  problems.push(...inexact(undeclared, '/action/properties'))
  return settleArguments(type ?? NOTHING, { ...declared, extra: jcs(undeclared) }, problems)
}

/** Integers that a double can't tell apart from their neighbours: the tool might read another one than was judged. */
const inexact = (json: unknown, pointer: string): Problem[] => {
  if (typeof json === 'number') {
    const exact = !Number.isInteger(json) || Number.isSafeInteger(json)
    return exact ? [] : [{ pointer, code: 'malformed', expected: 'an integer within ±(2^53-1)' }]
  }
  if (typeof json !== 'object' || json === null) return []
  return Object.entries(json).flatMap(([name, value]) => inexact(value, pointer + step(name)))
}

const settleArguments = (type: RecordType, json: unknown, problems: Problem[]): CedarRecord | undefined => {
  const read = convertRecord(type, json, '/action/properties')
  if (read.ok) return read.value
  problems.push(...read.problems)
  return undefined
}

/** A PEP describes the environment in AuthZEN's `context`. For an agent only the edge speaks. */
const environmentOf = (type: RecordType, ask: Ask, asserts: boolean, edge: Edge): Record<string, unknown> => {
  const said = asserts ? (ask.context ?? {}) : {}
  const known: Record<string, unknown> = !asserts && edge.ip !== undefined ? { ip: edge.ip } : {}
  const members = [...type.attributes.keys()].map(name => [name, Object.hasOwn(said, name) ? said[name] : known[name]])
  return Object.fromEntries(members.filter(([, value]) => value !== undefined))
}

/** AuthZEN's context has no `environment`: the members stand in it directly. */
const withoutEnvironment = (problem: Problem): Problem => ({
  ...problem,
  pointer: problem.pointer.replace(/^\/context\/environment/, '/context'),
})

type Attributes = [string, Value][]

/** The properties that the entity's type declares. Others can reach no policy, so they are nobody's business here. */
const attributesOf = (
  uid: EntityUid,
  properties: Record<string, unknown>,
  schema: Schema,
  at: string,
  problems: Problem[],
): Attributes => {
  const shape = schema.entityTypes.get(uid.type)?.shape.attributes
  const found: Attributes = []
  for (const [name, { type }] of shape ?? []) {
    if (!Object.hasOwn(properties, name)) continue
    const read = convert(type, properties[name], at + step(name))
    if (read.ok) found.push([name, read.value])
    else problems.push(...read.problems)
  }
  return found
}

const recordType = (type: ActionType['context'] | { kind: string } | undefined): RecordType | undefined =>
  type && 'attributes' in type ? type : undefined

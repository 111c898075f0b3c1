import { type EntityJson, type EntityUid, FormatError } from './json.ts'
import type { Schema } from './schema.ts'
import { typedFromJson } from './typed.ts'
import { type EntityRef, entityRef, equals, recordOf, setOf, type Value } from './value.ts'
import { entityFromJson, valueFromJson } from './value-json.ts'

export interface EntityStore {
  /** By the `key` of its `EntityRef`. */
  get(key: string): Entity | undefined
  /** By its name; faster than making a key first. */
  find(uid: EntityUid): Entity | undefined
  values(): Iterable<Entity>
}

export interface Entity extends EntityData {
  /** The keys of all ancestors, near and far. */
  readonly ancestors: ReadonlySet<string>
}

export interface EntityData {
  readonly uid: EntityRef
  readonly attrs: ReadonlyMap<string, Value>
  readonly tags: ReadonlyMap<string, Value>
  readonly parents: readonly EntityRef[]
}

/**
 * Reads Cedar's JSON format for entities and computes who descends from whom. With a schema, attributes are read by
 * their types, and the schema's actions and their groups are added. Throws `FormatError` for JSON of another form, for
 * a cycle among the entities, and for two different entities of the same name.
 */
export function loadEntities(json: readonly EntityJson[], schema?: Schema): EntityStore {
  const data = new Map<string, EntityData>()
  for (const entityJson of json) {
    const entity = readEntityData(entityJson, schema)
    const other = data.get(entity.uid.key)
    if (other !== undefined && !same(entity, other)) fail(`two different entities ${show(entity.uid)}`)
    data.set(entity.uid.key, entity)
  }
  for (const { uid, memberOf } of schema?.actions.values() ?? []) {
    data.set(uid.key, entityData(uid, undefined, memberOf))
  }
  const closure = ancestry(key => data.get(key)?.parents ?? NONE)
  const entities = new Map<string, Entity>()
  const byType = new Map<string, Map<string, Entity>>()
  for (const [key, { uid, attrs, tags, parents }] of data) {
    const entity: Entity = { uid, attrs, tags, parents, ancestors: closure(key) }
    entities.set(key, entity)
    const sameType = byType.get(uid.type)
    if (sameType === undefined) byType.set(uid.type, new Map([[uid.id, entity]]))
    else sameType.set(uid.id, entity)
  }
  return {
    get: key => entities.get(key),
    find: ({ type, id }) => byType.get(type)?.get(id),
    values: () => entities.values(),
  }
}

export function entityData(
  uid: EntityUid,
  attrs: Iterable<readonly [string, Value]> = NONE,
  parents: readonly EntityUid[] = NONE,
  tags: Iterable<readonly [string, Value]> = NONE,
): EntityData {
  const ref = ({ type, id }: EntityUid) => entityRef(type, id)
  return { uid: ref(uid), attrs: mapOf(attrs), tags: mapOf(tags), parents: parents.map(ref) }
}

/**
 * The entities of one request over those of the bundle. An entity that the base has too keeps the attributes, tags and
 * parents that it has there; those given replace or join them. Costs as much as there are extra entities, unless they
 * give new parents to entities of the base. Throws `FormatError` if that makes a cycle.
 */
export function overlay(base: EntityStore, extra: readonly EntityData[]): EntityStore {
  const data = new Map<string, EntityData>()
  for (const entity of extra) {
    const { key } = entity.uid
    const below = data.get(key) ?? base.get(key)
    data.set(key, below === undefined ? entity : join(below, entity))
  }
  // Usually extra entities only bring attributes, and the hierarchy is the base's.
  const sameHierarchy = extra.every(entity => entity.parents.length === 0)
  const closure = sameHierarchy
    ? (key: string) => base.get(key)?.ancestors ?? NO_ANCESTORS
    : ancestry(key => data.get(key)?.parents ?? base.get(key)?.parents ?? NONE)
  const own = new Map<string, Entity>()
  // Entities with new ancestors: what is below them in the base gets those too.
  const grown = new Set<string>()
  for (const [key, entity] of data) {
    const ancestors = closure(key)
    own.set(key, { ...entity, ancestors })
    if (ancestors.size > (base.get(key)?.ancestors.size ?? 0)) grown.add(key)
  }
  return {
    get: key => own.get(key) ?? inherited(base.get(key)),
    find(uid) {
      // There are but a few of them.
      for (const entity of own.values()) if (entity.uid.id === uid.id && entity.uid.type === uid.type) return entity
      return inherited(base.find(uid))
    },
    *values() {
      yield* own.values()
      for (const entity of base.values()) if (!own.has(entity.uid.key)) yield inherited(entity) ?? entity
    },
  }

  function inherited(entity: Entity | undefined): Entity | undefined {
    if (entity === undefined || !intersects(grown, entity.ancestors)) return entity
    const patched = { ...entity, ancestors: closure(entity.uid.key) }
    own.set(entity.uid.key, patched)
    return patched
  }
}

/** All that an entity descends from, near and far; also groups that stand in the store by name alone. */
export function ancestorsOf({ type, id }: EntityUid, entities: EntityStore): EntityRef[] {
  const keys = entities.get(entityRef(type, id).key)?.ancestors ?? NO_ANCESTORS
  return [...keys].map(key => entities.get(key)?.uid ?? entityOfKey(key))
}

/** The entity that has a key. */
function entityOfKey(key: string): EntityRef {
  const [, length = '', rest = ''] = /^e(\d+):(.*)$/s.exec(key) ?? []
  const at = rest.length - Number(length)
  return entityRef(rest.slice(0, at - 1), rest.slice(at))
}

/** Many entities have no tags or no attributes; they share one empty map. */
function mapOf(entries: Iterable<readonly [string, Value]>): ReadonlyMap<string, Value> {
  const map = new Map(entries)
  return map.size === 0 ? NO_VALUES : map
}

const NO_VALUES: ReadonlyMap<string, Value> = new Map()
const NONE: readonly never[] = []
const NO_ANCESTORS: ReadonlySet<string> = new Set()

/** The store of no entities. */
export const NO_ENTITIES: EntityStore = loadEntities([])

function intersects(few: ReadonlySet<string>, many: ReadonlySet<string>): boolean {
  for (const key of few) if (many.has(key)) return true
  return false
}

function join(below: EntityData, above: EntityData): EntityData {
  return {
    uid: above.uid,
    attrs: new Map([...below.attrs, ...above.attrs]),
    tags: new Map([...below.tags, ...above.tags]),
    parents: [...below.parents, ...above.parents],
  }
}

/** All ancestors of a key, each computed once. */
function ancestry(parentsOf: (key: string) => readonly EntityRef[]): (key: string) => ReadonlySet<string> {
  const known = new Map<string, ReadonlySet<string>>()
  const underWay = new Set<string>()
  return ancestorsOf

  function ancestorsOf(key: string): ReadonlySet<string> {
    const done = known.get(key)
    if (done !== undefined) return done
    const parents = parentsOf(key)
    underWay.add(key)
    const ancestors = new Set<string>()
    for (const parent of parents) {
      if (underWay.has(parent.key)) fail(`${show(parent)} descends from itself`)
      ancestors.add(parent.key)
      for (const ancestor of ancestorsOf(parent.key)) ancestors.add(ancestor)
    }
    underWay.delete(key)
    known.set(key, ancestors.size === 0 ? NO_ANCESTORS : ancestors)
    return ancestors
  }
}

function readEntityData(json: EntityJson, schema: Schema | undefined): EntityData {
  const uid = entityFromJson(json.uid)
  const type = schema?.entityTypes.get(uid.type)
  // Schemas say nothing about the attributes of actions.
  const typed = schema !== undefined && !isAction(uid)
  if (typed && type === undefined) fail(`${show(uid)}: the schema has no such type`)
  const attrs = Object.entries(json.attrs).map(([name, value]): [string, Value] => {
    const attribute = type?.shape.attributes.get(name)
    if (typed && attribute === undefined && type?.shape.open !== true)
      fail(`${show(uid)}: undeclared attribute ${name}`)
    return [name, attribute === undefined ? valueFromJson(value) : typedFromJson(value, attribute.type)]
  })
  const tags = Object.entries(json.tags ?? {}).map(([name, value]): [string, Value] => {
    if (typed && type?.tags === undefined) fail(`${show(uid)}: the schema allows it no tags`)
    return [name, type?.tags === undefined ? valueFromJson(value) : typedFromJson(value, type.tags)]
  })
  return entityData(uid, attrs, json.parents.map(entityFromJson), tags)
}

function isAction({ type }: EntityUid): boolean {
  return type === 'Action' || type.endsWith('::Action')
}

function same(a: EntityData, b: EntityData): boolean {
  return (
    equals(recordOf(a.attrs), recordOf(b.attrs)) &&
    equals(recordOf(a.tags), recordOf(b.tags)) &&
    equals(setOf(a.parents), setOf(b.parents))
  )
}

function show({ type, id }: EntityUid): string {
  return `${type}::${JSON.stringify(id)}`
}

function fail(message: string): never {
  throw new FormatError(message)
}

import {
  type ActionJson,
  type EntityTypeJson,
  FormatError,
  type NamespaceJson,
  type SchemaJson,
  type TypeJson,
} from './json.ts'
import type { Attribute, EntityReferenceType, RecordType, Type } from './type.ts'
import { type EntityRef, entityRef } from './value.ts'

export interface Schema {
  /** By full name. */
  readonly entityTypes: ReadonlyMap<string, EntityType>
  /** By the `key` of the action's `EntityRef`. */
  readonly actions: ReadonlyMap<string, ActionType>
  /** By full name. */
  readonly commonTypes: ReadonlyMap<string, Type>
}

export interface EntityType {
  readonly name: string
  readonly memberOf: readonly string[]
  readonly shape: RecordType
  readonly tags: Type | undefined
  /** The only ids of this type, where the schema lists them. */
  readonly ids: readonly string[] | undefined
}

export interface ActionType {
  readonly uid: EntityRef
  readonly memberOf: readonly EntityRef[]
  readonly principals: readonly string[]
  readonly resources: readonly string[]
  readonly context: RecordType
}

/** Reads a JSON schema, with resolved type names or without. Throws `FormatError` when a name leads nowhere. */
export function loadSchema(json: SchemaJson): Schema {
  const names = declaredNames(json)
  const commonTypes = new Map<string, Type>()
  const resolve = typeResolver(json, names, commonTypes)
  const entityTypes = new Map<string, EntityType>()
  const actions = new Map<string, ActionType>()
  for (const [namespace, definition] of Object.entries(json)) {
    for (const name of Object.keys(definition.commonTypes ?? {})) resolve({ type: qualify(namespace, name) }, '')
    for (const [name, type] of Object.entries(definition.entityTypes)) {
      const entityType = readEntityType(qualify(namespace, name), type, namespace)
      entityTypes.set(entityType.name, entityType)
    }
    for (const [id, action] of Object.entries(definition.actions)) {
      const actionType = readAction(entityRef(qualify(namespace, 'Action'), id), action, namespace)
      actions.set(actionType.uid.key, actionType)
    }
  }
  return { entityTypes, actions, commonTypes }

  function readEntityType(name: string, type: EntityTypeJson, namespace: string): EntityType {
    return {
      name,
      memberOf: (type.memberOfTypes ?? []).map(parent => names.entityType(parent, namespace)),
      shape: type.shape === undefined ? NO_ATTRIBUTES : record(resolve(type.shape, namespace), name),
      tags: type.tags === undefined ? undefined : resolve(type.tags, namespace),
      ids: type.enum,
    }
  }

  function readAction(uid: EntityRef, action: ActionJson, namespace: string): ActionType {
    const { principalTypes = [], resourceTypes = [], context } = action.appliesTo ?? {}
    return {
      uid,
      memberOf: (action.memberOf ?? []).map(({ id, type }) => names.action(id, type ?? 'Action', namespace)),
      principals: principalTypes.map(type => names.entityType(type, namespace)),
      resources: resourceTypes.map(type => names.entityType(type, namespace)),
      context: context === undefined ? NO_ATTRIBUTES : record(resolve(context, namespace), `context of ${uid.id}`),
    }
  }
}

const NO_ATTRIBUTES: RecordType = { kind: 'record', attributes: new Map(), open: false }

const BUILTINS: { readonly [name: string]: Type | undefined } = {
  Bool: { kind: 'bool' },
  Boolean: { kind: 'bool' },
  Long: { kind: 'long' },
  String: { kind: 'string' },
  decimal: { kind: 'decimal' },
  ipaddr: { kind: 'ipaddr' },
  datetime: { kind: 'datetime' },
  duration: { kind: 'duration' },
}

type Resolve = (type: TypeJson, namespace: string) => Type
type Names = ReturnType<typeof declaredNames>

function typeResolver(json: SchemaJson, names: Names, commonTypes: Map<string, Type>): Resolve {
  const underWay = new Set<string>()
  return resolve

  function resolve(type: TypeJson, namespace: string): Type {
    switch (type.type) {
      case 'Set':
        return { kind: 'set', element: resolve(type.element ?? fail('a Set without `element`'), namespace) }
      case 'Record':
        return readRecord(type, namespace)
      case 'Entity':
        return entity(names.entityType(type.name ?? '', namespace))
      case 'Extension':
        return BUILTINS[type.name ?? ''] ?? fail(`unknown extension type \`${type.name}\``)
      case 'EntityOrCommon':
        return named(type.name ?? '', namespace)
      default:
        return named(type.type, namespace)
    }
  }

  function readRecord(type: TypeJson, namespace: string): RecordType {
    const attributes = new Map<string, Attribute>()
    for (const [name, attribute] of Object.entries(type.attributes ?? {})) {
      attributes.set(name, { type: resolve(attribute, namespace), required: attribute.required ?? true })
    }
    return { kind: 'record', attributes, open: type.additionalAttributes ?? false }
  }

  /** As in Cedar, what a namespace declares comes before what has no namespace, and common types before entity types. */
  function named(name: string, namespace: string): Type {
    for (const full of [qualify(namespace, name), name]) {
      if (names.commonTypes.has(full)) return common(full)
      if (names.entityTypes.has(full)) return entity(full)
    }
    return BUILTINS[name.replace(/^__cedar::/, '')] ?? fail(`unknown type \`${name}\``)
  }

  function entity(name: string): EntityReferenceType {
    const [namespace, local] = split(name)
    return { kind: 'entity', name, ids: json[namespace]?.entityTypes[local]?.enum }
  }

  function common(name: string): Type {
    const known = commonTypes.get(name)
    if (known !== undefined) return known
    if (underWay.has(name)) fail(`the type \`${name}\` contains itself`)
    underWay.add(name)
    const [namespace, local] = split(name)
    const definition = json[namespace]?.commonTypes?.[local]
    const type = resolve(definition ?? fail(`unknown type \`${name}\``), namespace)
    commonTypes.set(name, type)
    return type
  }
}

function declaredNames(json: SchemaJson) {
  const all = (list: (definition: NamespaceJson) => object, prefix = '') =>
    new Set(
      Object.entries(json).flatMap(([namespace, definition]) =>
        Object.keys(list(definition)).map(name => qualify(namespace, prefix + name)),
      ),
    )
  const commonTypes = all(definition => definition.commonTypes ?? {})
  const entityTypes = all(definition => definition.entityTypes)
  const actions = all(definition => definition.actions, 'Action::')
  return {
    commonTypes,
    entityTypes,
    /** The full name of an entity type. */
    entityType(name: string, namespace: string): string {
      const local = qualify(namespace, name)
      return entityTypes.has(local) ? local : name
    },
    action(id: string, type: string, namespace: string): EntityRef {
      const local = qualify(namespace, type)
      return entityRef(actions.has(`${local}::${id}`) ? local : type, id)
    },
  }
}

function record(type: Type, where: string): RecordType {
  return type.kind === 'record' ? type : fail(`the type of \`${where}\` is not a record`)
}

function qualify(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}::${name}`
}

function split(name: string): [namespace: string, local: string] {
  const at = name.lastIndexOf('::')
  return at < 0 ? ['', name] : [name.slice(0, at), name.slice(at + 2)]
}

function fail(message: string): never {
  throw new FormatError(message)
}

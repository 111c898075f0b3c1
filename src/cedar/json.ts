/** The JSON formats that Cedar defines (policies, entities, schema), as this folder reads them. */

/** A type and not an interface, so that it can stand inside a `CedarValueJson`. */
export type EntityUid = { readonly type: string; readonly id: string }

/** Both spellings are legal wherever an entity is expected. */
export type EntityUidJson = EntityUid | { readonly __entity: EntityUid }

/**
 * A value as JSON. Entities and extension values are objects with one key, `__entity` or `__extn`.
 * `bigint` stands for integers beyond ±(2^53-1); `parseJson` makes them, `JSON.parse` would round them.
 */
export type CedarValueJson =
  | boolean
  | number
  | bigint
  | string
  | null
  | readonly CedarValueJson[]
  | { readonly [key: string]: CedarValueJson }

export type ExtensionName =
  | 'decimal'
  | 'lessThan'
  | 'lessThanOrEqual'
  | 'greaterThan'
  | 'greaterThanOrEqual'
  | 'ip'
  | 'isIpv4'
  | 'isIpv6'
  | 'isLoopback'
  | 'isMulticast'
  | 'isInRange'
  | 'datetime'
  | 'duration'
  | 'offset'
  | 'durationSince'
  | 'toDate'
  | 'toTime'
  | 'toMilliseconds'
  | 'toSeconds'
  | 'toMinutes'
  | 'toHours'
  | 'toDays'

export type UnaryName = '!' | 'neg' | 'isEmpty'
export type BinaryName =
  | '=='
  | '!='
  | 'in'
  | '<'
  | '<='
  | '>'
  | '>='
  | '&&'
  | '||'
  | '+'
  | '-'
  | '*'
  | 'contains'
  | 'containsAll'
  | 'containsAny'
  | 'getTag'
  | 'hasTag'

export type VarName = 'principal' | 'action' | 'resource' | 'context'
export type PatternElem = 'Wildcard' | { readonly Literal: string }

/** An object with one of the keys. */
export type OneOf<Names extends string, T> = { [K in Names]: { readonly [P in K]: T } }[Names]

export type Expr =
  | { readonly Value: CedarValueJson }
  | { readonly Var: VarName }
  | OneOf<UnaryName, { readonly arg: Expr }>
  | OneOf<BinaryName, { readonly left: Expr; readonly right: Expr }>
  | { readonly '.': { readonly left: Expr; readonly attr: string } }
  | { readonly has: { readonly left: Expr; readonly attr: string | readonly string[] } }
  | { readonly like: { readonly left: Expr; readonly pattern: readonly PatternElem[] } }
  | { readonly is: { readonly left: Expr; readonly entity_type: string; readonly in?: Expr } }
  | { readonly 'if-then-else': { readonly if: Expr; readonly then: Expr; readonly else: Expr } }
  | { readonly Set: readonly Expr[] }
  | { readonly Record: { readonly [key: string]: Expr } }
  | OneOf<ExtensionName, readonly Expr[]>
  /** Not Cedar's: a value that isn't known yet. Only residuals hold it. */
  | { readonly unknown: string }

export type Effect = 'permit' | 'forbid'

type EntityOrSlot = { readonly entity: EntityUidJson } | { readonly slot: string }

export type ScopeJson =
  | { readonly op: 'All' }
  | ({ readonly op: '==' } & EntityOrSlot)
  | ({ readonly op: 'in' } & EntityOrSlot)
  | { readonly op: 'is'; readonly entity_type: string; readonly in?: EntityOrSlot }

export type ActionScopeJson =
  | { readonly op: 'All' }
  | { readonly op: '=='; readonly entity: EntityUidJson }
  | { readonly op: 'in'; readonly entity: EntityUidJson }
  | { readonly op: 'in'; readonly entities: readonly EntityUidJson[] }

export interface ClauseJson {
  readonly kind: 'when' | 'unless'
  readonly body: Expr
}

export interface PolicyJson {
  readonly effect: Effect
  readonly principal: ScopeJson
  readonly action: ActionScopeJson
  readonly resource: ScopeJson
  readonly conditions: readonly ClauseJson[]
  readonly annotations?: { readonly [key: string]: string | null }
}

export interface TemplateLinkJson {
  readonly templateId: string
  readonly newId: string
  readonly values: { readonly [slot: string]: EntityUidJson }
}

export interface PolicySetJson {
  readonly staticPolicies?: { readonly [id: string]: PolicyJson }
  readonly templates?: { readonly [id: string]: PolicyJson }
  readonly templateLinks?: readonly TemplateLinkJson[]
}

export interface EntityJson {
  readonly uid: EntityUidJson
  readonly attrs: { readonly [key: string]: CedarValueJson }
  readonly parents: readonly EntityUidJson[]
  readonly tags?: { readonly [key: string]: CedarValueJson }
}

/** A type in a JSON schema: `type` is a builtin (`Set`, `Record`, `Entity`, ...) or the name of a common type. */
export interface TypeJson {
  readonly type: string
  readonly element?: TypeJson
  readonly attributes?: { readonly [key: string]: AttributeTypeJson }
  readonly additionalAttributes?: boolean
  readonly name?: string
}

export interface AttributeTypeJson extends TypeJson {
  readonly required?: boolean
}

export interface EntityTypeJson {
  readonly memberOfTypes?: readonly string[]
  readonly shape?: TypeJson
  readonly tags?: TypeJson
  readonly enum?: readonly string[]
}

export interface ActionJson {
  readonly appliesTo?: {
    readonly principalTypes: readonly string[]
    readonly resourceTypes: readonly string[]
    readonly context?: TypeJson
  }
  readonly memberOf?: readonly { readonly id: string; readonly type?: string }[] | null
}

export interface NamespaceJson {
  readonly commonTypes?: { readonly [name: string]: TypeJson }
  readonly entityTypes: { readonly [name: string]: EntityTypeJson }
  readonly actions: { readonly [name: string]: ActionJson }
}

export interface SchemaJson {
  readonly [namespace: string]: NamespaceJson
}

/** `{key: body}`, for a key that isn't known beforehand. */
export function keyed<K extends string, T>(key: K, body: T): OneOf<K, T> {
  return { [key]: body } as OneOf<K, T>
}

/** What the caller gave isn't in one of the formats above. Thrown by the `load…` functions and `valueFromJson`. */
export class FormatError extends Error {
  override name = 'FormatError'
}

/** `JSON.parse`, except that integers beyond ±(2^53-1) come out as exact `bigint`s. */
export function parseJson(text: string): unknown {
  // The reviver is slow, so only texts with a long run of digits pay for it.
  return /\d{16}/.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text)
}

function exactInteger(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value
}

export function isObject(json: unknown): json is { readonly [key: string]: unknown } {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

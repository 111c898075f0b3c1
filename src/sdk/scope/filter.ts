/**
 * Which resources of a type an agent may act on, as `POST /v1/scope` answers. Nothing here depends on the rest of the
 * project.
 */
export type Filter = { scope: 'always' } | { scope: 'never' } | { scope: 'when'; condition: Condition }

/**
 * A tree of conditions over a resource's attributes. Each leaf is true only of a resource that has the attribute (but for
 * `lacks`), so nothing is ever negated, and SQL's NULL and an absent attribute mean the same.
 */
export type Condition =
  | { op: 'and' | 'or'; of: Condition[] }
  | { op: 'has' | 'lacks' | 'empty' | 'not_empty'; attribute: Attribute }
  | { op: Comparison; attribute: Attribute; value: Scalar }
  | { op: Comparison; attribute: Attribute; other: Attribute }
  | { op: 'in' | 'not_in' | 'contains_any' | 'contains_none'; attribute: Attribute; values: Scalar[] }
  /** `null` stands for any text. */
  | { op: 'like' | 'unlike'; attribute: Attribute; pattern: (string | null)[] }

export type Comparison = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte'

/** An entity is its id, since the schema says of which type it is; times and durations are milliseconds. */
export type Scalar = string | number | boolean
export type ScalarType = 'string' | 'bool' | 'long' | 'datetime' | 'duration' | 'entity'

export type Attribute = {
  /** Its name; more than one where records are nested; none for the resource's own id. */
  path: string[]
  type: ScalarType | 'record' | 'set'
  /** Of a set. */
  element?: ScalarType
}

/** What the adapters know an attribute by: `id` for the resource's own id, else its path with dots between. */
export const columnName = ({ path }: Attribute): string => (path.length === 0 ? 'id' : path.join('.'))

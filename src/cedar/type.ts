/** What a schema says of a value. */
export type Type =
  | { readonly kind: 'bool' | 'long' | 'string' | ExtensionType }
  | { readonly kind: 'set'; readonly element: Type }
  | EntityReferenceType
  | RecordType

export interface EntityReferenceType {
  readonly kind: 'entity'
  readonly name: string
  /** The only ids of this type, where the schema lists them. */
  readonly ids: readonly string[] | undefined
}

export type ExtensionType = 'decimal' | 'ipaddr' | 'datetime' | 'duration'

export interface RecordType {
  readonly kind: 'record'
  readonly attributes: ReadonlyMap<string, Attribute>
  /** May hold attributes that aren't declared. */
  readonly open: boolean
}

export interface Attribute {
  readonly type: Type
  readonly required: boolean
}

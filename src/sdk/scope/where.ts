import { and, Column, eq, gt, gte, is, isNotNull, isNull, lt, lte, ne, or, type SQL, sql } from 'drizzle-orm'
import { type Attribute, type Comparison, type Condition, columnName, type Filter, type Scalar } from './filter.ts'

/** Which column holds which attribute, by its name (`address.city` for what is nested); `id` is the resource's id. */
export type Columns = { readonly [attribute: string]: Column }

/** Where databases differ. */
export type Dialect = {
  oneOf: (column: Column, values: unknown[]) => SQL
  noneOf: (column: Column, values: unknown[]) => SQL
  like: (column: Column, pattern: readonly (string | null)[]) => SQL
  unlike: (column: Column, pattern: readonly (string | null)[]) => SQL
  /** Whether a set has one of the values. False where there is no set. */
  hasAny: (column: Column, values: Scalar[]) => SQL
  size: (column: Column) => SQL
}

/** A filter as drizzle's `where`. Throws where an attribute that it speaks of has no column. */
export const whereFor =
  (dialect: Dialect) =>
  (filter: Filter, columns: Columns): SQL => {
    if (filter.scope === 'when') return conditionOf(filter.condition, columns, dialect)
    return filter.scope === 'always' ? sql`1 = 1` : NEVER
  }

export const NEVER = sql`1 = 0`

const conditionOf = (condition: Condition, columns: Columns, dialect: Dialect): SQL => {
  if ('of' in condition) {
    const parts = condition.of.map(part => conditionOf(part, columns, dialect))
    return (condition.op === 'and' ? and(...parts) : or(...parts)) ?? NEVER
  }
  const column = columnOf(condition.attribute, columns)
  switch (condition.op) {
    case 'has':
      return isNotNull(column)
    case 'lacks':
      return isNull(column)
    case 'empty':
      return sql`${dialect.size(column)} = 0`
    case 'not_empty':
      return sql`${dialect.size(column)} > 0`
    case 'in':
      return dialect.oneOf(
        column,
        condition.values.map(value => held(value, condition.attribute, column)),
      )
    case 'not_in':
      return dialect.noneOf(
        column,
        condition.values.map(value => held(value, condition.attribute, column)),
      )
    case 'contains_any':
      return dialect.hasAny(column, condition.values)
    case 'contains_none':
      return sql`(${column} IS NOT NULL AND NOT ${dialect.hasAny(column, condition.values)})`
    case 'like':
      return dialect.like(column, condition.pattern)
    case 'unlike':
      return dialect.unlike(column, condition.pattern)
    default: {
      const compare = COMPARE[condition.op]
      return 'value' in condition
        ? compare(column, held(condition.value, condition.attribute, column))
        : compare(column, columnOf(condition.other, columns))
    }
  }
}

const COMPARE: { readonly [Op in Comparison]: (column: Column, other: unknown) => SQL } = { eq, ne, lt, lte, gt, gte }

const columnOf = (attribute: Attribute, columns: Columns): Column => {
  const name = columnName(attribute)
  const column = Object.hasOwn(columns, name) ? columns[name] : undefined
  if (!is(column, Column)) throw new Error(`no column holds the attribute ${name}`)
  return column
}

/** The value in the form that the column holds. */
const held = (value: Scalar, { type }: Attribute, { dataType }: Column): unknown => {
  if (type === 'datetime' && typeof value === 'number') {
    if (dataType === 'date') return new Date(value)
    if (dataType === 'string') return new Date(value).toISOString()
  }
  return dataType === 'bigint' && typeof value === 'number' ? BigInt(value) : value
}

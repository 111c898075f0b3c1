import { arrayOverlaps, inArray, is, like, notInArray, notLike, sql } from 'drizzle-orm'
import { PgArray } from 'drizzle-orm/pg-core'
import { type Dialect, whereFor } from './where.ts'

/** Filters for PostgreSQL. Sets are arrays or `jsonb`. Texts must have a deterministic collation, as they do by default. */
const dialect: Dialect = {
  oneOf: inArray,
  noneOf: notInArray,
  like: (column, pattern) => like(column, patternText(pattern)),
  unlike: (column, pattern) => notLike(column, patternText(pattern)),
  hasAny: (column, values) =>
    is(column, PgArray)
      ? arrayOverlaps(column, values)
      : sql`EXISTS (SELECT 1 FROM jsonb_array_elements(${column}) AS member WHERE member IN (SELECT jsonb_array_elements(${JSON.stringify(values)}::jsonb)))`,
  size: column => (is(column, PgArray) ? sql`cardinality(${column})` : sql`jsonb_array_length(${column})`),
}

export const postgresWhere = whereFor(dialect)

const patternText = (pattern: readonly (string | null)[]): string =>
  pattern.map(part => part?.replace(/[\\%_]/g, '\\$&') ?? '%').join('')

import { type Column, inArray, isNotNull, notInArray, type SQL, sql } from 'drizzle-orm'
import { type Dialect, whereFor } from './where.ts'

/**
 * Filters for SQLite and D1. Booleans are integers and times what drizzle's column says; sets are JSON arrays in a text.
 * D1 binds at most 100 parameters: a filter takes at most one for each of its leaves, and lists are bound as one.
 */
const dialect: Dialect = {
  oneOf: (column, values) => listed(column, values) ?? inArray(column, values),
  noneOf: (column, values) => {
    const list = listed(column, values, 'NOT IN')
    return list ?? notInArray(column, values)
  },
  like: (column, pattern) => matching(column, pattern),
  unlike: (column, pattern) => sql`(${column} IS NOT NULL AND NOT (${matching(column, pattern)}))`,
  hasAny: (column, values) =>
    sql`EXISTS (SELECT 1 FROM json_each(${column}) WHERE value IN (SELECT value FROM json_each(${JSON.stringify(values)})))`,
  size: column => sql`json_array_length(${column})`,
}

export const sqliteWhere = whereFor(dialect)

const listed = (column: Column, values: unknown[], op: 'IN' | 'NOT IN' = 'IN'): SQL | undefined => {
  const stored = values.map(value => column.mapToDriverValue(value))
  if (stored.some(value => typeof value !== 'string' && typeof value !== 'number')) return undefined
  return sql`${column} ${sql.raw(op)} (SELECT value FROM json_each(${JSON.stringify(stored)}))`
}

/** LIKE doesn't tell cases apart and GLOB takes 50 bytes in D1, so the common forms are taken apart. */
const matching = (column: Column, pattern: readonly (string | null)[]): SQL => {
  const [first, second, third] = pattern
  if (pattern.length === 0) return sql`${column} = ''`
  if (pattern.length === 1) return first === null || first === undefined ? isNotNull(column) : sql`${column} = ${first}`
  const texts = pattern.filter(part => part !== null)
  if (pattern.length === 2) {
    if (typeof first === 'string') return startsWith(column, first)
    if (typeof second === 'string') return endsWith(column, second)
  }
  if (pattern.length === 3 && typeof second === 'string') return sql`instr(${column}, ${second}) > 0`
  if (pattern.length === 3 && typeof first === 'string' && typeof third === 'string') {
    const least = sql.raw(String(lengthOf(first) + lengthOf(third)))
    return sql`(length(${column}) >= ${least} AND ${startsWith(column, first)} AND ${endsWith(column, third)})`
  }
  const glob = pattern.map(part => part?.replace(/[*?[]/g, '[$&]') ?? '*').join('')
  if (new TextEncoder().encode(glob).length > MOST_GLOB) {
    throw new Error(`SQLite in D1 matches no pattern as long as that of ${texts.join('*')}`)
  }
  return sql`${column} GLOB ${glob}`
}

const MOST_GLOB = 50

const startsWith = (column: Column, text: string): SQL =>
  sql`substr(${column}, 1, ${sql.raw(String(lengthOf(text)))}) = ${text}`

const endsWith = (column: Column, text: string): SQL =>
  sql`substr(${column}, ${sql.raw(String(-lengthOf(text)))}) = ${text}`

/** As SQLite counts: characters, not UTF-16 units. */
const lengthOf = (text: string): number => [...text].length

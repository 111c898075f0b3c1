import { DurableObject } from 'cloudflare:workers'
import type { DurableObjectNamespace, SqlStorageValue } from '@cloudflare/workers-types'

/**
 * Stands in for D1: workerd's own D1 binding speaks HTTP to a service, and here that service is one SQLite Durable
 * Object, as D1 itself is one. So every batch of receipts is really parsed, written with all its indexes and committed
 * to disk, on the cores that the decisions run on, if not on their thread; in production those are other machines.
 */

type Env = { DATABASE: DurableObjectNamespace<DatabaseObject> }
type Query = { sql: string; params?: SqlStorageValue[] | null }

export class DatabaseObject extends DurableObject {
  run(queries: Query[], format: string | null) {
    return this.ctx.storage.transactionSync(() => queries.map(query => this.#runOne(query, format)))
  }

  #runOne({ sql, params }: Query, format: string | null) {
    const cursor = this.ctx.storage.sql.exec(sql, ...(params ?? []))
    const columns = cursor.columnNames
    const rows = [...cursor.raw()]
    const { rowsRead, rowsWritten } = cursor
    const objects = () => rows.map(row => Object.fromEntries(columns.map((column, at) => [column, row[at] ?? null])))
    return {
      success: true,
      results: format === 'ROWS_AND_COLUMNS' ? { columns, rows } : format === 'NONE' ? [] : objects(),
      meta: { duration: 0, changes: rowsWritten, last_row_id: 0, rows_read: rowsRead, rows_written: rowsWritten },
    }
  }
}

export default {
  async fetch(request: Request, { DATABASE }: Env): Promise<Response> {
    const format = new URL(request.url).searchParams.get('resultsFormat')
    const asked: Query | Query[] = await request.json()
    try {
      const results = await DATABASE.getByName('the database').run(Array.isArray(asked) ? asked : [asked], format)
      return Response.json(results)
    } catch (error) {
      return Response.json({ success: false, error: String(error) }, { status: 500 })
    }
  },
}

import { DurableObject } from 'cloudflare:workers'
import type { DurableObjectNamespace, DurableObjectState } from '@cloudflare/workers-types'
import * as v from 'valibot'

/**
 * Stands in for R2: workerd turns an R2 binding into HTTP to a service, and here that service keeps what the log
 * publishes in one SQLite Durable Object. Nothing reads it in this benchmark, so it takes puts and deletions alone.
 */

type Env = { BUCKET: DurableObjectNamespace<BucketObject> }

const Asked = v.variant('method', [
  v.object({ method: v.literal('put'), object: v.string() }),
  v.object({ method: v.literal('delete'), objects: v.array(v.string()) }),
])

export class BucketObject extends DurableObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID')
  }

  put(key: string, bytes: ArrayBuffer): void {
    this.ctx.storage.sql.exec('INSERT OR REPLACE INTO object (key, bytes) VALUES (?, ?)', key, bytes)
  }

  delete(keys: string[]): void {
    for (const key of keys) this.ctx.storage.sql.exec('DELETE FROM object WHERE key = ?', key)
  }
}

const SIZE = 'cf-r2-metadata-size'

export default {
  /** A request's body is what is asked, as JSON of so many bytes, and the object's bytes after it. */
  async fetch(request: Request, { BUCKET }: Env): Promise<Response> {
    if (request.method !== 'PUT') return new Response('nothing is read from this R2', { status: 405 })
    const body = await request.arrayBuffer()
    const size = Number(request.headers.get(SIZE))
    const asked = v.parse(Asked, JSON.parse(new TextDecoder().decode(body.slice(0, size))))
    const bucket = BUCKET.getByName('the bucket')
    if (asked.method === 'delete') {
      await bucket.delete(asked.objects)
      return new Response()
    }
    const bytes = body.slice(size)
    await bucket.put(asked.object, bytes)
    const result = {
      name: asked.object,
      version: '1',
      size: String(bytes.byteLength),
      etag: '1',
      uploaded: String(Date.now()),
      checksums: {},
    }
    const json = new TextEncoder().encode(JSON.stringify(result))
    return new Response(json, { headers: { [SIZE]: String(json.byteLength) } })
  },
}

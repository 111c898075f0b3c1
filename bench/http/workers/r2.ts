import { DurableObject } from 'cloudflare:workers'
import type { DurableObjectNamespace, DurableObjectState } from '@cloudflare/workers-types'
import * as v from 'valibot'

/**
 * Stands in for R2: workerd turns an R2 binding into HTTP to a service, and here that service keeps what the log
 * publishes in one SQLite Durable Object: puts, deletions, and gets of whole objects.
 */

type Env = { BUCKET: DurableObjectNamespace<BucketObject> }

const Asked = v.variant('method', [
  v.object({ method: v.literal('put'), object: v.string() }),
  v.object({ method: v.literal('get'), object: v.string() }),
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

  get(key: string): ArrayBuffer | undefined {
    const [row] = this.ctx.storage.sql.exec<{ bytes: ArrayBuffer }>('SELECT bytes FROM object WHERE key = ?', key)
    return row?.bytes
  }

  delete(keys: string[]): void {
    for (const key of keys) this.ctx.storage.sql.exec('DELETE FROM object WHERE key = ?', key)
  }
}

const SIZE = 'cf-r2-metadata-size'

export default {
  /** A request's body is what is asked, as JSON of so many bytes, and the object's bytes after it. */
  async fetch(request: Request, { BUCKET }: Env): Promise<Response> {
    const read = request.headers.get('cf-r2-request')
    if (read !== null) return answerGet(v.parse(Asked, JSON.parse(read)), BUCKET.getByName('the bucket'))
    const body = await request.arrayBuffer()
    const size = Number(request.headers.get(SIZE))
    const asked = v.parse(Asked, JSON.parse(new TextDecoder().decode(body.slice(0, size))))
    const bucket = BUCKET.getByName('the bucket')
    if (asked.method === 'delete') {
      await bucket.delete(asked.objects)
      return new Response()
    }
    const bytes = body.slice(size)
    if (asked.method === 'get') return answerGet(asked, bucket)
    await bucket.put(asked.object, bytes)
    const json = described(asked.object, bytes)
    return new Response(json, { headers: { [SIZE]: String(json.byteLength) } })
  },
}

/** What R2 says of an object. */
const described = (name: string, bytes: ArrayBuffer): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(
    JSON.stringify({
      name,
      version: '1',
      size: String(bytes.byteLength),
      etag: '1',
      uploaded: String(Date.now()),
      checksums: {},
    }),
  )

const answerGet = async (
  asked: v.InferOutput<typeof Asked>,
  bucket: { get: (key: string) => Promise<ArrayBuffer | undefined> },
): Promise<Response> => {
  const bytes = asked.method === 'get' ? await bucket.get(asked.object) : undefined
  if (asked.method !== 'get' || bytes === undefined) {
    const error = { version: 1, v4code: 10007, message: 'The specified key does not exist.' }
    return new Response(null, { status: 404, headers: { 'cf-r2-error': JSON.stringify(error) } })
  }
  const json = described(asked.object, bytes)
  return new Response(new Blob([json, bytes]), { headers: { [SIZE]: String(json.byteLength) } })
}

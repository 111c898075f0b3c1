import type { Context } from 'hono'
import { type Refusal, refusal } from '../decision/refusal.ts'
import { MAX_BODY_BYTES, readJson } from './json.ts'
import type { AppEnv } from './types.ts'

/** The JSON body of a request and its text, or why it isn't taken. AuthZEN answers another media type with 400. */
export const readBody = async (c: Context<AppEnv>): Promise<{ value: unknown; text: string } | Refusal> => {
  const media = c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (media !== 'application/json') return refusal(400, 'unsupported_media_type')
  const bytes = await boundedBytes(c.req.raw)
  if (!bytes) return refusal(413, 'body_too_large')
  const text = decode(bytes)
  if (text === undefined) return refusal(400, 'malformed_json', { pointer: '', detail: 'not UTF-8' })
  const json = readJson(text)
  return 'value' in json ? { value: json.value, text } : json
}

/** A declared length that is small enough spares counting the bytes as they come; it is held against what came. */
export const boundedBytes = async (request: Request): Promise<ArrayBuffer | undefined> => {
  const declared = request.headers.get('content-length')
  if (declared !== null) {
    if (!(Number(declared) <= MAX_BODY_BYTES)) return undefined
    const bytes = await request.arrayBuffer()
    return bytes.byteLength > MAX_BODY_BYTES ? undefined : bytes
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return new Blob(chunks).arrayBuffer()
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const decode = (bytes: ArrayBuffer): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

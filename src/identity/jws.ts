import { base64url } from 'jose'

export type JsonObject = Record<string, unknown>

/**
 * Splits a compact JWS and reads its header and payload, without trusting either. `undefined` where any reader could
 * see something else than this one: text that isn't the only encoding of its bytes, bytes that aren't UTF-8, members
 * named twice (RFC 7515, 4; RFC 8725, 2.6 and 2.7).
 */
export const readJws = (token: string): { header: JsonObject; payload: JsonObject } | undefined => {
  const [header, payload, signature] = token.split('.').map(decode)
  if (!header || !payload || !signature) return undefined
  const read = { header: readObject(header), payload: readObject(payload) }
  return read.header && read.payload ? { header: read.header, payload: read.payload } : undefined
}

/** A JSON object in UTF-8 in which no object has two members of one name. */
export const readObject = (bytes: Uint8Array): JsonObject | undefined => {
  try {
    const text = utf8.decode(bytes)
    const json: unknown = JSON.parse(text)
    return isObject(json) && membersOf(json) === membersIn(text) ? json : undefined
  } catch {
    return undefined
  }
}

/** The member itself, never one that every object inherits. */
export const own = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined

// A byte order mark must not vanish: what it precedes isn't JSON.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const decode = (part: string): Uint8Array | undefined => {
  try {
    const bytes = base64url.decode(part)
    // The last character has spare bits: only one of its spellings is canonical, so one signature has one token.
    return base64url.encode(bytes) === part ? bytes : undefined
  } catch {
    return undefined
  }
}

/** How many members the text writes down. Only for text that parsed: there, a string before a colon is a name. */
const membersIn = (text: string): number => {
  let count = 0
  for (const [, colon] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g)) if (colon !== undefined) count++
  return count
}

/** How many members are left after parsing, at every depth: fewer, where a name stood twice. */
const membersOf = (json: JsonObject): number => {
  let count = 0
  const open: unknown[] = [json]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== 'object' || value === null) continue
    const values = Object.values(value)
    if (!Array.isArray(value)) count += values.length
    for (const inner of values) open.push(inner)
  }
  return count
}

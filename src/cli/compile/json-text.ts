import { step } from '../../cedar/pointer.ts'
import type { Range } from './source-text.ts'

/**
 * JSON with places. Unlike `JSON.parse` it refuses a key that stands twice in an object (which of the two is meant?)
 * and integers that JavaScript would round.
 */
export type JsonText =
  | { ok: true; value: unknown; placeOf: (pointer: string) => Range }
  | { ok: false; message: string; range: Range }

export const readJson = (text: string): JsonText => {
  const places = new Map<string, Range>()
  let at = 0
  try {
    const value = readValue('', 0)
    space()
    if (at < text.length) throw new Fault('something stands after the end', here())
    return { ok: true, value, placeOf }
  } catch (fault) {
    if (fault instanceof Fault) return { ok: false, message: fault.message, range: fault.range }
    throw fault
  }

  /** The place of a value by its JSON pointer (RFC 6901); where there is none, of the nearest that holds it. */
  function placeOf(pointer: string): Range {
    for (let path = pointer; ; path = path.slice(0, path.lastIndexOf('/'))) {
      const place = places.get(path)
      if (place !== undefined) return place
      if (path === '') return { start: 0, end: 0 }
    }
  }

  function readValue(pointer: string, depth: number): unknown {
    space()
    if (depth > 64) throw new Fault('nested too deep', here())
    const start = at
    const value = readAny(pointer, depth)
    places.set(pointer, { start, end: at })
    return value
  }

  function readAny(pointer: string, depth: number): unknown {
    switch (text[at]) {
      case '{':
        return readObject(pointer, depth)
      case '[':
        return readArray(pointer, depth)
      case '"':
        return readString()
      default:
        return readPlain()
    }
  }

  function readObject(pointer: string, depth: number): unknown {
    const entries = new Map<string, unknown>()
    for (const _ of list('}')) {
      space()
      const start = at
      const key = text[at] === '"' ? readString() : fail('a key in double quotes')
      if (entries.has(key)) throw new Fault(`the key ${JSON.stringify(key)} stands here twice`, { start, end: at })
      space()
      if (text[at] !== ':') fail('a colon')
      at++
      entries.set(key, readValue(pointer + step(key), depth + 1))
    }
    return Object.fromEntries(entries)
  }

  function readArray(pointer: string, depth: number): unknown {
    const items: unknown[] = []
    for (const _ of list(']')) items.push(readValue(`${pointer}/${items.length}`, depth + 1))
    return items
  }

  /** Steps over the bracket that opens, the commas between, and the bracket that closes; once for each item. */
  function* list(close: string): Generator<void> {
    at++
    space()
    if (text[at] === close) {
      at++
      return
    }
    for (;;) {
      yield
      space()
      const next = text[at]
      if (next !== ',' && next !== close) fail(`a comma or ${close}`)
      at++
      if (next === close) return
    }
  }

  function readString(): string {
    const match = /"(?:[^"\\\n]|\\.)*"/y
    match.lastIndex = at
    const found = match.exec(text)?.[0]
    if (found === undefined) throw new Fault('a string that is not closed', here())
    try {
      const value: unknown = JSON.parse(found)
      at += found.length
      return String(value)
    } catch {
      throw new Fault('not a JSON string', { start: at, end: at + found.length })
    }
  }

  function readPlain(): unknown {
    const match = /[\w.+-]+/y
    match.lastIndex = at
    const found = match.exec(text)?.[0] ?? ''
    const range = { start: at, end: at + found.length }
    let value: unknown
    try {
      value = JSON.parse(found)
    } catch {
      fail('a value')
    }
    if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      throw new Fault(`${found} is beyond ±(2^53-1), where integers lose their last digits`, range)
    }
    at = range.end
    return value
  }

  function space(): void {
    while (/\s/.test(text[at] ?? '')) at++
  }

  function here(): Range {
    return { start: at, end: at + 1 }
  }

  function fail(expected: string): never {
    throw new Fault(at < text.length ? `expected ${expected}` : `expected ${expected}, but the file ends`, here())
  }
}

class Fault extends Error {
  readonly range: Range
  constructor(message: string, range: Range) {
    super(message)
    this.range = range
  }
}

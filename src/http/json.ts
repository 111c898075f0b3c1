import { pointerTo } from '../cedar/pointer.ts'
import { type Refusal, refusal } from '../decision/refusal.ts'

export const MAX_BODY_BYTES = 64 * 1024
export const MAX_DEPTH = 16

/**
 * Reads JSON that has one meaning: `JSON.parse` lets the last of two equal keys win and turns lone surrogates and huge
 * numbers into something else, and what the tool reads must be what the policies saw (RFC 7493). The body's size is
 * bounded before.
 */
export const readJson = (text: string): { value: unknown } | Refusal => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const detail = error instanceof Error ? error.message : undefined
    return refusal(400, 'malformed_json', { pointer: '', ...(detail !== undefined && { detail }) })
  }
  return ambiguity(text) ?? { value }
}

type Frame = { keys: Set<string> | undefined; at: string | number }

/** The first ambiguous place of a text that is known to be JSON. */
const ambiguity = (text: string): Refusal | undefined => {
  const frames: Frame[] = []
  let frame: Frame | undefined
  let expectKey = false
  const wrong = (detail: string) =>
    refusal(400, 'malformed_json', { pointer: pointerTo(frames.map(({ at }) => at)), detail })
  // most texts can't hold half a surrogate pair, and then only keys have to be read
  const mayBeTorn = text.includes('\\u') || !text.isWellFormed()
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPENS_OBJECT:
      case OPENS_ARRAY:
        if (frames.length === MAX_DEPTH) return wrong(`nested deeper than ${MAX_DEPTH}`)
        expectKey = text.charCodeAt(at) === OPENS_OBJECT
        frame = expectKey ? { keys: new Set(), at: '' } : { keys: undefined, at: 0 }
        frames.push(frame)
        break
      case CLOSES_OBJECT:
      case CLOSES_ARRAY:
        frames.pop()
        frame = frames.at(-1)
        expectKey = false
        break
      case COMMA:
        if (frame?.keys) expectKey = true
        else if (frame && typeof frame.at === 'number') frame.at++
        break
      case QUOTE: {
        const end = endOfString(text, at)
        if (expectKey && frame?.keys) {
          const key = stringAt(text, at, end)
          frame.at = key
          if (frame.keys.has(key)) return wrong('the key stands twice')
          if (key === '__proto__') return wrong('this key is not taken')
          frame.keys.add(key)
          expectKey = false
        }
        if (mayBeTorn && !stringAt(text, at, end).isWellFormed()) return wrong('not well-formed Unicode')
        at = end
        break
      }
      default: {
        if (!isDigit(text, at)) break
        const end = endOfNumber(text, at)
        if (!Number.isFinite(Number(text.slice(at, end)))) return wrong('the number is too large')
        at = end - 1
      }
    }
  }
  return undefined
}

const OPENS_OBJECT = 0x7b
const CLOSES_OBJECT = 0x7d
const OPENS_ARRAY = 0x5b
const CLOSES_ARRAY = 0x5d
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** A sign needn't be seen: it doesn't change whether a number is finite. */
const isDigit = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

const endOfNumber = (text: string, start: number): number => {
  let at = start + 1
  while (isDigit(text, at) || '.eE+-'.includes(text[at] ?? ' ')) at++
  return at
}

const endOfString = (text: string, start: number): number => {
  let end = text.indexOf('"', start + 1)
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end
}

/** After an odd number of backslashes. */
const isEscaped = (text: string, at: number): boolean => {
  let from = at
  while (text.charCodeAt(from - 1) === BACKSLASH) from--
  return (at - from) % 2 === 1
}

/** Without escapes a string is its own text, lone surrogates included. */
const stringAt = (text: string, start: number, end: number): string => {
  const raw = text.slice(start + 1, end)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

/** A file's text, and where things stand in it. */
export type SourceText = { file: string; text: string }

/** UTF-16 offsets. */
export type Range = { start: number; end: number }

export type Place = {
  file: string
  /** From 1, as editors count. */
  line: number
  column: number
  /** The whole line. */
  source: string
  /** How many characters of the line are meant; at least 1. */
  width: number
}

/** A range over several lines is cut at the end of the first. */
export const placeAt = ({ file, text }: SourceText, { start, end }: Range): Place => {
  const at = Math.min(Math.max(start, 0), text.length)
  const lineStart = text.lastIndexOf('\n', at - 1) + 1
  const next = text.indexOf('\n', at)
  const lineEnd = next < 0 ? text.length : next
  const line = text.slice(0, lineStart).split('\n').length
  return {
    file,
    line,
    column: at - lineStart + 1,
    source: text.slice(lineStart, lineEnd).replace(/\r$/, ''),
    width: Math.max(1, Math.min(end, lineEnd) - at),
  }
}

/** Cedar counts the bytes of UTF-8. */
export const offsetOfByte = (text: string, byte: number): number =>
  Buffer.from(text).subarray(0, byte).toString().length

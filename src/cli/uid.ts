import type { EntityUid } from '../cedar/json.ts'
import { CommandError } from './exit.ts'

/** Reads `Type::"id"` as Cedar writes it. Where the id is plain, the quotes may stay away: shells like to eat them. */
export const parseUid = (text: string): EntityUid => {
  const match = /^([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)::(?:"((?:[^"\\]|\\.)+)"|([\w.@-]+))$/.exec(text)
  const [, type, quoted, plain] = match ?? []
  const id = plain ?? (quoted === undefined ? undefined : unescaped(quoted))
  if (type === undefined || id === undefined)
    throw new CommandError(`${text} is not an entity such as Agent::"support-bot"`)
  return { type, id }
}

/** Entities with commas between. */
export const parseUids = (text: string | undefined): EntityUid[] =>
  text === undefined ? [] : text.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map(part => parseUid(part.trim()))

const unescaped = (text: string): string | undefined => {
  let known = true
  const plain = text.replace(/\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))/g, (_, code: string | undefined, character: string) => {
    if (code !== undefined) return String.fromCodePoint(Math.min(Number.parseInt(code, 16), 0x10ffff))
    const meant = ESCAPES[character]
    if (meant === undefined) known = false
    return meant ?? ''
  })
  return known ? plain : undefined
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  n: '\n',
  r: '\r',
  t: '\t',
  '0': '\0',
}

import type { EntityUid } from '../cedar/json.ts'

/** The two members alone, whatever else an entity carries along, in the order that JCS has them in. */
export const bare = ({ type, id }: EntityUid): EntityUid => ({ id, type })

/** An entity UID as Cedar writes it, `Type::"id"`: one text for one UID. */
export const uidText = ({ type, id }: EntityUid): string =>
  `${type}::"${ESCAPED.test(id) ? id.replace(/["\\\p{Cc}]/gu, escaped) : id}"`

/** Hardly any id has one of these. */
const ESCAPED = /["\\\p{Cc}]/u

/** The UID that `uidText` wrote. */
export const readUid = (text: string): EntityUid => {
  const at = text.indexOf('::"')
  const id = text
    .slice(at + 3, -1)
    .replace(/\\(?:u\{([0-9a-f]+)\}|(.))/g, (_, code, character) =>
      code === undefined ? character : String.fromCharCode(Number.parseInt(code, 16)),
    )
  return { type: text.slice(0, at), id }
}

const escaped = (character: string): string =>
  character === '"' || character === '\\' ? `\\${character}` : `\\u{${character.charCodeAt(0).toString(16)}}`

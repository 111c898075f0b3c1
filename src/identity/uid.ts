import type { EntityUid } from '../cedar/json.ts'

/** An entity UID as Cedar writes it, `Type::"id"`: one text for one UID. */
export const uidText = ({ type, id }: EntityUid): string => `${type}::"${id.replace(/["\\\p{Cc}]/gu, escaped)}"`

const escaped = (character: string): string =>
  character === '"' || character === '\\' ? `\\${character}` : `\\u{${character.charCodeAt(0).toString(16)}}`

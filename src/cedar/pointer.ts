/** A member's step in a JSON pointer (RFC 6901), by which problems say where they are. */
export const step = (member: string | number): string =>
  `/${typeof member === 'number' ? member : member.replaceAll('~', '~0').replaceAll('/', '~1')}`

/** The pointer that leads along these members. */
export const pointerTo = (members: readonly (string | number)[]): string => members.map(step).join('')

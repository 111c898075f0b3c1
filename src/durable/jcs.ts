import canonicalize from 'canonicalize'

/** The JCS form (RFC 8785) of a JSON value. Throws on what JSON can't carry: that is a bug of the caller. */
export const jcs = (value: unknown): string => {
  // what is in order already, the engine writes the same, several times as fast
  if (isInOrder(value, DEPTH)) return JSON.stringify(value)
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('not a JSON value')
  return text
}

/** A record with its members in the order of JCS. What they hold stays as it is. */
export const inOrder = (record: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Deeper than requests may be; beyond it cycles are looked for. */
const DEPTH = 32

/** Whether a value is plain JSON whose members all stand in the order that JCS has them in. */
const isInOrder = (value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed()
    case 'number':
      return Number.isFinite(value)
    case 'boolean':
      return true
    case 'object':
      if (value === null) return true
      if (depth === 0) return false
      return Array.isArray(value) ? value.every(item => isInOrder(item, depth - 1)) : hasOrder(value, depth - 1)
    default:
      return false
  }
}

const hasOrder = (value: object, depth: number): boolean => {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  let last: string | undefined
  for (const name in value) {
    if (!name.isWellFormed() || (last !== undefined && name <= last)) return false
    if (!isInOrder(value[name as keyof typeof value], depth)) return false
    last = name
  }
  return true
}

import type { Schema } from '../cedar/schema.ts'
import type { Type } from '../cedar/type.ts'

/** Reads a type as the schema language writes it; undefined for what the schema doesn't know, and for records. */
export const parseType = (text: string, { entityTypes }: Pick<Schema, 'entityTypes'>): Type | undefined => {
  const set = /^Set<(.+)>$/.exec(text.trim())
  if (set) {
    const element = parseType(set[1] ?? '', { entityTypes })
    return element && { kind: 'set', element }
  }
  const name = text.trim()
  const plain = PLAIN[name]
  if (plain) return plain
  const entity = entityTypes.get(name)
  return entity && { kind: 'entity', name, ids: entity.ids }
}

const PLAIN: Readonly<Record<string, Type | undefined>> = {
  Bool: { kind: 'bool' },
  Long: { kind: 'long' },
  String: { kind: 'string' },
  decimal: { kind: 'decimal' },
  datetime: { kind: 'datetime' },
  duration: { kind: 'duration' },
  ipaddr: { kind: 'ipaddr' },
}

import type { RuleMeta } from '../policy/annotations.ts'
import type { Duties, Program } from '../settle/program.ts'
import { OBLIGATION_TYPES } from './obligations.ts'

/** What the request's context says that duties ask of. It is the caller's word, and goes on record as such. */
export type Said = Record<string, unknown> | undefined

/** A rule's duties, with what this request leaves undone. `undefined` where it has none. */
export const dutiesOf = ({ log, reportMs }: RuleMeta, said: Said): Duties | undefined => {
  if (!log && reportMs === undefined) return undefined
  const absent = (log ?? []).filter(name => fieldOf(said, name) === undefined)
  return {
    ...(log && { log }),
    ...(absent.length > 0 && { absent }),
    ...(reportMs !== undefined && { reportMs }),
    ...(!supports(said) && { unsupported: true }),
  }
}

/** The fields that the program's rules ask for, as far as they were given. */
export const fieldsFor = ({ legs }: Program, said: Said): Record<string, string> => {
  const rules = legs.flatMap(({ permits, forbids }) => [...permits, ...forbids])
  const names = new Set(rules.flatMap(({ duties }) => duties?.log ?? []))
  return Object.fromEntries(
    [...names].flatMap(name => {
      const value = fieldOf(said, name)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

const MOST_CHARACTERS = 1_000

const fieldOf = (said: Said, name: string): string | undefined => {
  const value = said && Object.hasOwn(said, name) ? said[name] : undefined
  return typeof value === 'string' && value.trim() !== '' && value.length <= MOST_CHARACTERS ? value : undefined
}

/** A caller that declares nothing says nothing (Obligations Profile, Negotiation); values that we don't know are ignored. */
const supports = (said: Said): boolean => {
  const declared = said?.supported_obligations
  return !Array.isArray(declared) || OBLIGATION_TYPES.every(type => declared.includes(type))
}

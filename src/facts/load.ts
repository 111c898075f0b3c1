import type { PolicySet } from '../cedar/policies.ts'
import type { Policy } from '../cedar/policy.ts'
import type { Schema } from '../cedar/schema.ts'
import type { RecordType, Type } from '../cedar/type.ts'
import type { RuleMeta } from '../policy/annotations.ts'
import { parseDuration } from '../policy/rate.ts'
import { readTolerance, type Tolerance } from './compare.ts'
import { type Declaration, type Facts, OF } from './declarations.ts'
import { readsOf } from './reads.ts'
import { parseType } from './type.ts'

/** Which entity a fact is about. */
export type Subject =
  | { kind: 'resource' | 'principal' | 'user' }
  /** `type` is given where the argument is a String. */
  | { kind: 'argument'; name: string; type: string | undefined }

export type Declared = Omit<Declaration, 'of' | 'type' | 'predicate' | 'max_cache' | 'lifetime' | 'tolerance'> & {
  name: string
  of: Subject
  predicate: string
  type: Type
  /** Milliseconds. */
  maxCacheMs: number
  lifetimeMs: number | undefined
  tolerance: Tolerance | undefined
}

export type Source = { id: string; rank: number; speaksOf: (type: string, predicate: string) => boolean }

/** A bundle's declarations, in the form that decisions read. */
export type LoadedFacts = {
  declared: ReadonlyMap<string, Declared>
  sources: ReadonlyMap<string, Source>
  /** All entity types. */
  types: readonly string[]
  /** What sources may state of a type: the type of the predicate's values, and how long they hold at most. */
  predicates: ReadonlyMap<string, { type: Type; lifetimeMs: number | undefined }>
  /** The facts that an action's context has, by the action's key. */
  ofAction: ReadonlyMap<string, ReadonlySet<string>>
  /** What each policy asks for, as far as the action's context has it. */
  readBy: (policy: Policy, offered: ReadonlySet<string>) => string[]
  /** How long a deferred decision waits, in milliseconds. */
  waitMs: number
  /** Whether any policy has an `@requires`. */
  requires: boolean
}

/** Throws where a declaration says what the schema can't mean: `check` lets none of these through. */
export const loadFacts = (
  facts: Facts | undefined,
  schema: Schema,
  policies: PolicySet,
  rules: ReadonlyMap<string, Pick<RuleMeta, 'requires'>>,
): LoadedFacts => {
  const declared = declaredIn(facts, schema)
  const predicates = new Map<string, { type: Type; lifetimeMs: number | undefined }>()
  for (const fact of declared.values()) {
    const lifetimes = [predicates.get(fact.predicate)?.lifetimeMs, fact.lifetimeMs].filter(ms => ms !== undefined)
    predicates.set(fact.predicate, {
      type: fact.type,
      lifetimeMs: lifetimes.length > 0 ? Math.max(...lifetimes) : undefined,
    })
  }
  const unknown = [...rules]
    .flatMap(([id, { requires = [] }]) => requires.map(({ fact }) => [id, fact] as const))
    .find(([, fact]) => !declared.has(fact))
  if (unknown) throw new Error(`policy ${unknown[0]}: there is no fact ${unknown[1]}`)
  const reads = new Map<Policy['body'], ReturnType<typeof readsOf>>()
  for (const { body, json } of policies.values()) if (!reads.has(body)) reads.set(body, readsOf(json))
  return {
    declared,
    sources: new Map(Object.entries(facts?.sources ?? {}).map(([id, source]) => [id, sourceOf(id, source)])),
    waitMs: parseDuration(facts?.wait ?? '') ?? WAIT_MS,
    requires: [...rules.values()].some(({ requires }) => requires !== undefined),
    types: [...schema.entityTypes.keys()],
    predicates,
    ofAction: new Map(
      [...schema.actions].map(([key, { context }]) => [key, new Set(factsIn(context)?.attributes.keys() ?? [])]),
    ),
    readBy: (policy, offered) => {
      const read = reads.get(policy.body)
      const named = read?.all ? offered : [...(read?.names ?? [])].filter(name => offered.has(name))
      return [...named, ...(rules.get(policy.id)?.requires ?? []).map(({ fact }) => fact)]
    },
  }
}

/** The facts that are declared, by name. */
export const declaredIn = (facts: Facts | undefined, schema: Schema): Map<string, Declared> =>
  new Map(Object.entries(facts?.facts ?? {}).map(([name, fact]) => [name, load(name, fact, schema)]))

/** How long a deferred decision waits where nothing is declared. */
const WAIT_MS = 10 * 60_000

/** The type of `context.facts`, where an action's context has it. */
export const factsIn = (context: RecordType): RecordType | undefined => {
  const type = context.attributes.get('facts')?.type
  return type?.kind === 'record' ? type : undefined
}

export const readSubject = (text: string): Subject | undefined => {
  const [whole, entity, argument, type] = OF.exec(text) ?? []
  if (whole === undefined) return undefined
  if (entity === 'resource' || entity === 'principal' || entity === 'user') return { kind: entity }
  return { kind: 'argument', name: argument ?? '', type }
}

const load = (name: string, declaration: Declaration, schema: Schema): Declared => {
  const { of, type: text, predicate = name, max_cache, lifetime, tolerance: margin, ...rest } = declaration
  const subject = readSubject(of)
  const type = parseType(text, schema)
  if (!subject || !type) throw new Error(`fact ${name}: ${subject ? text : of} is not known`)
  const tolerance = margin === undefined ? undefined : readTolerance(margin, type)
  if (margin !== undefined && !tolerance) throw new Error(`fact ${name}: no tolerance of ${margin} for ${text}`)
  const ms = (time: string | undefined) => (time === undefined ? undefined : parseDuration(time))
  const times = { maxCacheMs: ms(max_cache) ?? 0, lifetimeMs: ms(lifetime) }
  return { name, of: subject, predicate, type, tolerance, ...times, ...rest }
}

const sourceOf = (id: string, { rank, speaks_of }: Facts['sources'][string]): Source => {
  const scope = new Map<string, Set<string>>()
  for (const { type, predicates } of speaks_of) {
    const known = scope.get(type)
    scope.set(type, known ? new Set([...known, ...predicates]) : new Set(predicates))
  }
  return { id, rank, speaksOf: (type, predicate) => scope.get(type)?.has(predicate) ?? false }
}

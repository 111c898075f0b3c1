import * as v from 'valibot'
import { convert } from '../cedar/convert.ts'
import type { Schema } from '../cedar/schema.ts'
import { Moment } from '../decision/moment.ts'
import { contentHash } from '../durable/hash.ts'
import { TypeName } from '../policy/tenant.ts'
import type { LoadedFacts, Source } from './load.ts'
import { type Fact, SKEW_MS } from './verdict.ts'

/** One thing that a source states, as it is pushed and as it stands in attestations. */
export const Statement = v.strictObject({
  /** The source's own name for it; of two of one name the first stands. By default its content is its name, with what it supersedes. */
  id: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))),
  entity: v.strictObject({ type: TypeName, id: v.pipe(v.string(), v.maxLength(512)) }),
  predicate: v.pipe(v.string(), v.maxLength(64)),
  value: v.unknown(),
  observed_at: Moment,
  /** May be left out where the declaration has a `lifetime`. */
  valid_until: v.optional(Moment),
  /** Where it can be looked up. */
  evidence: v.optional(v.pipe(v.string(), v.maxLength(2_048))),
  /** The ledger's id of an earlier fact of the same source, of the same entity and predicate, that this one takes back. */
  supersedes: v.optional(v.pipe(v.string(), v.maxLength(128))),
})
export type Statement = v.InferOutput<typeof Statement>

export type Stated = Omit<Fact, 'id' | 'from'>

/** Why a statement isn't taken. */
export type Unstated = {
  code: 'out_of_scope' | 'undeclared' | 'mistyped' | 'malformed'
  pointer: string
  expected: string
}

/** Reads a statement by what the source may speak of, and by the type that the bundle declares for the predicate. */
export const read = (
  { entity, predicate, value: json, observed_at, valid_until, evidence }: Statement,
  source: Source,
  { facts, schema }: { facts: LoadedFacts; schema: Schema },
  now: number,
): Stated | Unstated => {
  const declared = facts.predicates.get(predicate)
  if (!source.speaksOf(entity.type, predicate)) {
    return { code: 'out_of_scope', pointer: '/predicate', expected: `what ${source.id} may speak of` }
  }
  if (!declared || !schema.entityTypes.has(entity.type)) {
    return { code: 'undeclared', pointer: '/predicate', expected: 'a predicate and a type that the bundle declares' }
  }
  if (!entity.id.isWellFormed()) return { code: 'malformed', pointer: '/entity/id', expected: 'well-formed Unicode' }
  const value = convert(declared.type, json, '/value')
  if (!value.ok) {
    const [problem] = value.problems
    return { code: 'mistyped', pointer: problem?.pointer ?? '/value', expected: problem?.expected ?? '' }
  }
  const observedAt = Date.parse(observed_at)
  if (observedAt > now + SKEW_MS)
    return { code: 'malformed', pointer: '/observed_at', expected: 'a time that has come' }
  // How long a declaration lets it hold is asked when it is used.
  const validUntil =
    valid_until === undefined ? observedAt + (declared.lifetimeMs ?? Number.NaN) : Date.parse(valid_until)
  if (Number.isNaN(validUntil)) {
    return { code: 'malformed', pointer: '/valid_until', expected: 'a time; the declaration has no lifetime' }
  }
  if (validUntil <= observedAt)
    return { code: 'malformed', pointer: '/valid_until', expected: 'a time after observed_at' }
  return {
    hash: contentHash([source.id, entity.type, entity.id, predicate, json, observedAt, validUntil]),
    entity,
    predicate,
    json,
    value: value.value,
    source: source.id,
    observedAt,
    validUntil,
    ...(evidence !== undefined && { evidence }),
  }
}

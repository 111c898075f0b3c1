import * as v from 'valibot'
import { parseDuration } from '../policy/rate.ts'

/**
 * What a tenant's policies may rely upon, as an admin writes it in `facts.json` and as it stands in the bundle: the facts
 * that policies name, and the sources of record that may state them.
 */

const Duration = v.pipe(
  v.string(),
  v.check(text => parseDuration(text) !== undefined, 'a time reads like 30s, 15m, 1h or 7d'),
)

const Name = v.pipe(v.string(), v.regex(/^[A-Za-z_]\w{0,63}$/, 'a name is 1-64 letters, digits and _'))

/** Which entity a fact is about. An argument that is a String says of which type that entity is. */
export const OF = /^(?:(resource|principal|user)|arguments\.([A-Za-z_]\w*)(?: as ([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*))?)$/

export const SourceId = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, 'a source is 1-64 letters, digits, _ . and -'))

const Source = v.strictObject({
  /** Whose word counts: of two sources that disagree, the one of the higher rank. */
  rank: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000)),
  /** What it may speak of; all else that it says is out of its scope. */
  speaks_of: v.pipe(
    v.array(v.strictObject({ type: v.string(), predicates: v.pipe(v.array(Name), v.minLength(1)) })),
    v.minLength(1),
  ),
})

const Declaration = v.strictObject({
  /** `resource`, `principal` (the agent), `user`, or `arguments.orderId as Order`. */
  of: v.pipe(v.string(), v.regex(OF, 'reads like resource, principal, user or arguments.orderId as Order')),
  /** What the ledger calls it; by default the fact's own name. */
  predicate: v.optional(Name),
  /** As the schema language writes it: Long, Bool, String, decimal, datetime, duration, ipaddr, an entity type, Set<…>. */
  type: v.string(),
  /** How old a copy in an isolate may be. Without it each request reads the ledger. */
  max_cache: v.optional(Duration),
  /** How long after it was observed a fact holds at most, whatever its source says. */
  lifetime: v.optional(Duration),
  /** How far a claim may be off: a number, a percentage such as `1%`, or for times a duration such as `5m`. */
  tolerance: v.optional(v.union([v.pipe(v.number(), v.minValue(0)), v.string()])),
  /** What claimed sets must be: the same (by default), or within what the fact says. */
  sets: v.optional(v.picklist(['equal', 'within']), 'equal'),
  /** The unit that the fact is in, and what one of another unit comes to in it: `{"EUR": 100}` beside `cent`. */
  unit: v.optional(v.string()),
  units: v.optional(v.record(v.string(), v.pipe(v.number(), v.gtValue(0))), {}),
  /** When sources of the highest rank disagree: the fact is disputed, or the latest observation wins. */
  among_equals: v.optional(v.picklist(['dispute', 'latest']), 'dispute'),
  /** What a contradicted claim does: deny, or stand in `context.contradicted`. */
  on_contradiction: v.optional(v.picklist(['deny', 'flag']), 'deny'),
  /** Whether agents are told what the fact says when it contradicts them. */
  disclose: v.optional(v.boolean(), false),
})
export type Declaration = v.InferOutput<typeof Declaration>

export const Facts = v.strictObject({
  $schema: v.optional(v.string()),
  sources: v.record(SourceId, Source),
  facts: v.record(Name, Declaration),
  /** How long a deferred decision waits for what it lacks. */
  wait: v.optional(Duration, '10m'),
})
export type Facts = v.InferOutput<typeof Facts>

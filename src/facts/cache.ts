import { LRUCache } from 'lru-cache'
import type { Fact } from './verdict.ts'

/** What the sources of a bundle said last of one thing, as the ledger had it at `readAt` (milliseconds). */
type Copy = { said: readonly Fact[]; readAt: number }
/** All copies about one entity, by predicate. */
type About = ReadonlyMap<string, Copy>

const MAX_BYTES = 8 * 1024 * 1024
/** Measured: what copies of one entity, a copy, and a fact in it take beside their texts. */
const ENTITY_BYTES = 400
const COPY_BYTES = 150
const FACT_BYTES = 700

/**
 * Copies of the ledger in this isolate. No signal reaches all isolates, so time alone makes a copy old: a reader says how
 * old one may be.
 */
const copies = new LRUCache<string, About>({
  maxSize: MAX_BYTES,
  sizeCalculation: (about, key) => {
    let bytes = ENTITY_BYTES + 2 * key.length
    for (const [predicate, { said }] of about) {
      bytes += COPY_BYTES + 2 * predicate.length
      for (const fact of said) bytes += FACT_BYTES + 4 * JSON.stringify(fact.json).length
    }
    return bytes
  },
})

/** Under another bundle other sources count and values have other types, so its copies are others. */
type Place = { tenant: string; bundle: string; entity: string }

/** Neither a tenant's name nor a hash has a slash. */
const keyOf = ({ tenant, bundle, entity }: Place): string => `${tenant}/${bundle}/${entity}`

export const copiesOf = (place: Place): About => copies.get(keyOf(place)) ?? NONE

const NONE: About = new Map()

/** A copy, unless it is too old. */
export const young = (copy: Copy | undefined, maxAgeMs: number, now: number): Copy | undefined =>
  copy && now - copy.readAt <= maxAgeMs && now >= copy.readAt ? copy : undefined

/** What was read together is kept together. */
export const keep = (place: Place, read: ReadonlyMap<string, readonly Fact[]>, readAt: number): void => {
  const about = new Map(copiesOf(place))
  for (const [predicate, said] of read) {
    about.set(predicate, { said: said.map(fact => ({ ...fact, from: 'cache' })), readAt })
  }
  copies.set(keyOf(place), about)
}

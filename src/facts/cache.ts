import { LRUCache } from 'lru-cache'
import type { Fact } from './verdict.ts'

/** What the sources of a bundle said last of one thing, as the ledger had it at `readAt` (milliseconds). */
type Copy = { said: readonly Fact[]; readAt: number }

const MAX_BYTES = 8 * 1024 * 1024
/** Measured: what a copy and a fact in it take beside their texts. */
const COPY_BYTES = 250
const FACT_BYTES = 700

/**
 * Copies of the ledger in this isolate. No signal reaches all isolates, so time alone makes a copy old: a reader says how
 * old one may be.
 */
const copies = new LRUCache<string, Copy>({
  maxSize: MAX_BYTES,
  sizeCalculation: ({ said }, key) =>
    COPY_BYTES +
    2 * key.length +
    said.reduce((sum, fact) => sum + FACT_BYTES + 4 * JSON.stringify(fact.json).length, 0),
})

/** Under another bundle other sources count and values have other types, so its copies are others. */
export const keysOf = (tenant: string, bundle: string) => {
  const about = new Map<string, string>()
  return (entity: string, predicate: string): string => {
    let start = about.get(entity)
    if (start === undefined) {
      // no array of JSON begins another, so what follows can't be taken for a part of it
      start = JSON.stringify([tenant, bundle, entity])
      about.set(entity, start)
    }
    return start + predicate
  }
}

export const copyOf = (key: string, maxAgeMs: number, now: number): Copy | undefined => {
  const copy = copies.get(key)
  return copy && now - copy.readAt <= maxAgeMs && now >= copy.readAt ? copy : undefined
}

export const keep = (key: string, said: readonly Fact[], readAt: number): void => {
  copies.set(key, { said: said.map(fact => ({ ...fact, from: 'cache' })), readAt })
}

import type { EntityUid } from '../cedar/json.ts'
import type { Value } from '../cedar/value.ts'
import { agrees } from './compare.ts'
import type { Declared, LoadedFacts } from './load.ts'

/** Where a fact was found. */
export const origins = ['ledger', 'cache', 'attestation'] as const

/** What a source said of an entity, ready to be compared. */
export type Fact = {
  id: string
  /** Its id doesn't follow from what it says: its source gave it a name, or took something back with it. */
  named?: true
  /** Names its content. */
  hash: string
  entity: EntityUid
  predicate: string
  /** As the source wrote it. */
  json: unknown
  value: Value
  source: string
  /** Milliseconds. */
  observedAt: number
  validUntil: number
  evidence?: string
  from: (typeof origins)[number]
}

/** What is known of a declared fact, or why nothing is. */
export type Finding = { status: 'known'; fact: Fact } | { status: Unknown; facts: readonly Fact[] }
/** `unreachable`: the ledger couldn't be read. */
const unknowns = ['unsupported', 'out_of_scope', 'stale', 'disputed', 'unreachable'] as const
export type Unknown = (typeof unknowns)[number]

/** What becomes of a claim. */
export const verdicts = ['verified', 'contradicted', ...unknowns] as const
export type Verdict = (typeof verdicts)[number]

/**
 * Settles what sources say of one entity: what a source may not speak of doesn't count, then what has lapsed; then the
 * highest rank decides, and among those that share it the declaration's rule. Each source's latest word is given.
 */
export const findingOf = (
  declared: Declared,
  said: readonly Fact[],
  { sources }: Pick<LoadedFacts, 'sources'>,
  now: number,
): Finding => {
  if (said.length === 0) return { status: 'unsupported', facts: [] }
  const inScope = said.filter(fact => sources.get(fact.source)?.speaksOf(fact.entity.type, fact.predicate))
  if (inScope.length === 0) return { status: 'out_of_scope', facts: said }
  const fresh = inScope.filter(fact => holdsUntil(declared, fact) > now && fact.observedAt <= now + SKEW_MS)
  const [only] = fresh
  if (!only) return { status: 'stale', facts: inScope }
  if (fresh.length === 1) return knownBy(declared, only)
  const rankOf = (fact: Fact) => sources.get(fact.source)?.rank ?? -1
  const highest = Math.max(...fresh.map(rankOf))
  const latestFirst = fresh.filter(fact => rankOf(fact) === highest).toSorted(byObservation)
  const latest = latestFirst[0] ?? only
  const disagrees = latestFirst.some(fact => !agrees(fact.value, latest.value, { ...declared, sets: 'equal' }))
  if (disagrees && declared.among_equals === 'dispute') return { status: 'disputed', facts: latestFirst }
  return knownBy(declared, latest)
}

const knownBy = (declared: Declared, fact: Fact): Finding => {
  const validUntil = holdsUntil(declared, fact)
  return { status: 'known', fact: validUntil === fact.validUntil ? fact : { ...fact, validUntil } }
}

/** Clocks differ: an observation from a little later than now is one from now. */
export const SKEW_MS = 60_000

export const holdsUntil = ({ lifetimeMs }: Pick<Declared, 'lifetimeMs'>, fact: Fact): number =>
  lifetimeMs === undefined ? fact.validUntil : Math.min(fact.validUntil, fact.observedAt + lifetimeMs)

export const verdictOf = (declared: Declared, claimed: Value, finding: Finding): Verdict => {
  if (finding.status !== 'known') return finding.status
  return agrees(claimed, finding.fact.value, declared) ? 'verified' : 'contradicted'
}

/** Latest first; of those of one time, always in the same order. */
const byObservation = (a: Fact, b: Fact): number => b.observedAt - a.observedAt || (a.id < b.id ? -1 : 1)

import { convert } from '../cedar/convert.ts'
import type { EntityUid } from '../cedar/json.ts'
import { withDeadline } from '../durable/deadline.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { copiesOf, keep, young } from './cache.ts'
import { factId } from './id.ts'
import { latestOf, type Row } from './ledger.ts'
import type { Declared } from './load.ts'
import { type Fact, type Finding, findingOf } from './verdict.ts'

/** A declared fact about one entity, and what attestations say of it. */
export type Wanted = {
  declared: Declared
  entity: EntityUid
  attested?: readonly Fact[]
  /** How old a copy may be, in milliseconds. */
  maxCacheMs: number
  /** How long ago what a copy holds may have been observed; beyond it the ledger may know better. */
  maxAgeMs: number | undefined
}

/** The same, each with what was attested of it. */
export const withAttested = (wants: readonly Wanted[], attested: readonly Fact[]): readonly Wanted[] =>
  attested.length === 0
    ? wants
    : wants.map(want => ({ ...want, attested: attested.filter(fact => isAbout(fact, want)) }))

const isAbout = ({ predicate, entity }: Fact, want: Wanted): boolean =>
  predicate === want.declared.predicate && entity.type === want.entity.type && entity.id === want.entity.id

export type Reading = {
  db: D1Database
  tenant: string
  bundle: LoadedBundle
  /** Milliseconds. */
  now: number
}

/** `head`: the last fact that the ledger held when it was read; 0 where it wasn't. */
type Found = { findings: Finding[]; head: number }

/** How long the ledger may take before what it would have said counts as unknown. */
const DEADLINE_MS = 2_000

/**
 * What is known of each, in the order that was asked: from attestations and this isolate's copies where they settle it,
 * and for all others from the ledger, in one read. A copy says no: what it leaves unknown is looked up again.
 */
export const find = async (wanted: readonly Wanted[], { db, tenant, bundle, now }: Reading): Promise<Found> => {
  const { facts } = bundle
  const placeOf = (entity: string) => ({ tenant, bundle: bundle.hash, entity })
  // most that is wanted is about one entity
  const seen = new Map<EntityUid, ReturnType<typeof copiesOf>>()
  const seeing = (entity: EntityUid) => {
    const copies = copiesOf(placeOf(uidText(entity)))
    seen.set(entity, copies)
    return copies
  }
  const settled = wanted.map(
    ({ declared, entity, attested = NOTHING, maxCacheMs, maxAgeMs = Number.POSITIVE_INFINITY }) => {
      const copies = seen.get(entity) ?? seeing(entity)
      const copy = maxCacheMs > 0 ? young(copies.get(declared.predicate), maxCacheMs, now) : undefined
      if (!copy && !outranks(attested, declared, bundle)) return undefined
      const said = attested.length === 0 && copy ? copy.said : [...attested, ...(copy?.said ?? [])]
      const finding = findingOf(declared, said, facts, now)
      return finding.status === 'known' && now - finding.fact.observedAt <= maxAgeMs ? finding : undefined
    },
  )
  const left = wanted.filter((_, index) => !settled[index])
  if (left.length === 0) return { findings: settled.flatMap(finding => finding ?? []), head: 0 }
  const open = Map.groupBy(left, ({ entity }) => uidText(entity))
  const wants = [...open].flatMap(([entity, about]) =>
    [...new Set(about.map(({ declared }) => declared.predicate))].map(predicate => ({ entity, predicate })),
  )
  const looked = await look(db, tenant, wants, [...facts.sources.keys()], now)
  const rows = Map.groupBy(looked?.rows ?? [], ({ entity }) => entity)
  const read = new Map(
    [...open].map(([text, [first]]): [string, Map<string, Fact[]>] => {
      const said = (rows.get(text) ?? []).flatMap(row => (first ? factOf(row, first.entity, bundle) : []))
      return [text, Map.groupBy(said, ({ predicate }) => predicate)]
    }),
  )
  for (const [text, said] of read) if (said.size > 0) keep(placeOf(text), said, now)
  const findings = wanted.map(({ declared, entity, attested = NOTHING }, index): Finding => {
    const finding = settled[index]
    if (finding) return finding
    // Something of a higher rank may stand where we couldn't look.
    if (!looked) return { status: 'unreachable', facts: [] }
    const said = read.get(uidText(entity))?.get(declared.predicate) ?? []
    return findingOf(declared, [...attested, ...said], facts, now)
  })
  return { findings, head: looked?.head ?? 0 }
}

const NOTHING: readonly Fact[] = []

/** Whether no other source may say anything of it that would count as much as what was attested. */
const outranks = (attested: readonly Fact[], { predicate }: Declared, { facts }: LoadedBundle): boolean =>
  attested.some(({ source: id, entity }) => {
    const rank = facts.sources.get(id)?.rank ?? -1
    return [...facts.sources.values()].every(
      other => other.id === id || !other.speaksOf(entity.type, predicate) || other.rank < rank,
    )
  })

const look = async (...[db, tenant, wants, sources, now]: Parameters<typeof latestOf>) => {
  try {
    return await withDeadline(latestOf(db, tenant, wants, sources, now), DEADLINE_MS)
  } catch (error) {
    console.warn(`the ledger could not be read: ${error}`)
    return undefined
  }
}

/** A row whose value no longer has the declared type says nothing. */
export const factOf = (row: Row, entity: EntityUid, { facts }: LoadedBundle): Fact[] => {
  const declared = facts.predicates.get(row.predicate)
  if (!declared) return []
  const json: unknown = JSON.parse(row.value)
  const value = convert(declared.type, json)
  if (!value.ok) return []
  const { id, hash, predicate, source, observedAt, validUntil, evidence } = row
  return [
    {
      id,
      ...(id !== factId(source, hash) && { named: true }),
      hash,
      entity,
      predicate,
      json,
      value: value.value,
      source,
      observedAt,
      validUntil,
      ...(evidence !== null && { evidence }),
      from: 'ledger',
    },
  ]
}

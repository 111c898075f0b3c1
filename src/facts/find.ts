import { convert } from '../cedar/convert.ts'
import type { EntityUid } from '../cedar/json.ts'
import { withDeadline } from '../durable/deadline.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { copyOf, keep, keysOf } from './cache.ts'
import { latestOf, type Row } from './ledger.ts'
import type { Declared } from './load.ts'
import { type Fact, type Finding, findingOf } from './verdict.ts'

/** A declared fact about one entity, and what an attestation says of it. */
export type Wanted = {
  declared: Declared
  entity: EntityUid
  attested: readonly Fact[]
  /** How old a copy may be, in milliseconds. */
  maxCacheMs: number
  /** How long ago what a copy holds may have been observed; beyond it the ledger may know better. */
  maxAgeMs: number | undefined
}

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
  const keyOf = keysOf(tenant, bundle.hash)
  const keys = wanted.map(({ entity, declared }) => keyOf(uidText(entity), declared.predicate))
  const settled = wanted.map(({ declared, attested, maxCacheMs, maxAgeMs = Number.POSITIVE_INFINITY }, index) => {
    const copy = maxCacheMs > 0 ? copyOf(keys[index] ?? '', maxCacheMs, now) : undefined
    if (!copy && !outranks(attested, declared, bundle)) return undefined
    const finding = findingOf(declared, [...attested, ...(copy?.said ?? [])], facts, now)
    return finding.status === 'known' && now - finding.fact.observedAt <= maxAgeMs ? finding : undefined
  })
  const open = new Map<string, Wanted>()
  for (const [index, want] of wanted.entries()) if (!settled[index]) open.set(keys[index] ?? '', want)
  if (open.size === 0) return { findings: settled.flatMap(finding => finding ?? []), head: 0 }
  const wants = [...open.values()].map(({ entity, declared }) => ({
    entity: uidText(entity),
    predicate: declared.predicate,
  }))
  const looked = await look(db, tenant, wants, [...facts.sources.keys()], now)
  const read = new Map<string, readonly Fact[]>()
  if (looked) {
    const byKey = Map.groupBy(looked.rows, ({ entity, predicate }) => keyOf(entity, predicate))
    for (const [key, { entity }] of open) {
      const said = (byKey.get(key) ?? []).flatMap(row => factOf(row, entity, bundle))
      read.set(key, said)
      if (said.length > 0) keep(key, said, now)
    }
  }
  const findings = wanted.map(({ declared, attested }, index): Finding => {
    const finding = settled[index]
    if (finding) return finding
    const said = read.get(keys[index] ?? '')
    // Something of a higher rank may stand where we couldn't look.
    return said ? findingOf(declared, [...attested, ...said], facts, now) : { status: 'unreachable', facts: [] }
  })
  return { findings, head: looked?.head ?? 0 }
}

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

import { factId } from './id.ts'
import type { Cited, ClaimRecord, FactRecord } from './record.ts'

/**
 * Names of which the same is to be said, each with the one fact that it is known by: what that fact says stands in the
 * ledger.
 */
type Citations = Pick<Cited, 'from' | 'source'> & {
  status: FactRecord['status']
  cited: Record<string, Citation>
}
/** `id` is there where it doesn't follow from source and hash. */
type Citation = { claimed?: unknown; hash: string; id?: string }

/** How receipts hold what a decision relied upon: short, since each of its bytes is written to three places. */
export type Written = FactRecord | Citations

/** Members stand in the order of their names, as they are hashed. */
export const written = (records: readonly FactRecord[]): Written[] => {
  const groups: Citations[] = []
  const others: FactRecord[] = []
  for (const record of records.toSorted(byName)) {
    const { name, status, claimed, facts } = record
    const [fact] = facts
    if (!fact || facts.length > 1 || 'value' in fact) {
      others.push(record)
      continue
    }
    const { from, source, hash, id, named } = fact
    let group = groups.find(one => one.status === status && one.source === source && one.from === from)
    if (!group) {
      group = { cited: {}, from, source, status }
      groups.push(group)
    }
    const citation: Citation = 'claimed' in record ? { claimed, hash } : { hash }
    if (named) citation.id = id
    group.cited[name] = citation
  }
  return [...groups, ...others]
}

/** What a receipt holds, name by name. Those of before cite each fact for itself. */
export const recordsIn = (all: readonly Written[]): FactRecord[] =>
  all.flatMap(one => {
    if (!('cited' in one)) return one
    const { cited, from, source, status } = one
    return Object.entries(cited).map(([name, { hash, id = factId(source, hash), ...claimed }]) => ({
      ...claimed,
      facts: [{ from, hash, id, source }],
      name,
      status,
    }))
  })

/** In one order, whether they come from a receipt or are about to be written: an answer that is given again is the same. */
export const claimsOf = (records: readonly FactRecord[]): ClaimRecord[] =>
  records.filter((record): record is ClaimRecord => 'claimed' in record).sort(byName)

const byName = (a: FactRecord, b: FactRecord): number => (a.name < b.name ? -1 : 1)

/** The claims of a receipt, from what its secrets hold; none where that was erased or lies under a key. */
export const claimsIn = (secrets: Readonly<Record<string, object | undefined>>): ClaimRecord[] => {
  const { facts } = secrets
  // it was written by this file
  return facts && 'value' in facts ? claimsOf(recordsIn(facts.value as Written[])) : []
}

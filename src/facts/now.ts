import { convert } from '../cedar/convert.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { readClaim } from './claims.ts'
import { find, type Reading } from './find.ts'
import { told } from './record.ts'
import { type ShownFact, saidIn } from './shown.ts'
import { type Fact, type Finding, verdictOf } from './verdict.ts'

/**
 * What is known now of what a decision relied upon then, in one read of the ledger. What its agent carried counts as
 * long as it holds.
 */
export const factsNow = async (shown: readonly ShownFact[], reading: Reading): Promise<ShownFact[]> => {
  const wanted = shown.flatMap(one => {
    const declared = reading.bundle.facts.declared.get(one.name)
    if (!declared || !one.about) return []
    const attested = attestedIn(one, reading.bundle)
    return [{ one, declared, entity: one.about, attested, maxCacheMs: 0, maxAgeMs: undefined }]
  })
  if (wanted.length === 0) return [...shown]
  const { findings } = await find(wanted, reading)
  const now = new Map(
    wanted.map(({ one, declared }, index): [string, ShownFact] => {
      const finding = findings[index] ?? NOTHING
      const claim = 'claimed' in one ? readClaim(declared, one.claimed, '') : undefined
      const status = claim?.ok ? verdictOf(declared, claim.value, finding) : finding.status
      return [one.name, { ...one, status, facts: saidIn(finding).map(told) }]
    }),
  )
  return shown.map(one => now.get(one.name) ?? one)
}

const NOTHING: Finding = { status: 'unsupported', facts: [] }

const attestedIn = ({ name, about: entity, facts }: ShownFact, { facts: { declared } }: LoadedBundle): Fact[] =>
  facts.flatMap(({ value: json, observed_at: observedAt, valid_until: validUntil, ...fact }) => {
    const known = declared.get(name)
    const value = known && fact.from === 'attestation' ? convert(known.type, json) : undefined
    if (!known || !entity || !value?.ok) return []
    return [{ ...fact, entity, predicate: known.predicate, json, value: value.value, observedAt, validUntil }]
  })

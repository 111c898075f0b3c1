import type { EntityUid } from '../cedar/json.ts'
import type { Fact, Finding, Verdict } from './verdict.ts'

/** A fact of the ledger, named: what it says stands there for good. */
export type Cited = Pick<Fact, 'id' | 'named' | 'hash' | 'source' | 'from'>

/** A fact with all that it says. */
export type Told = Cited & {
  value: unknown
  /** Milliseconds. */
  observed_at: number
  valid_until: number
  evidence?: string
}

/**
 * What a decision relied upon for one name, and what its agent claimed: what was known is cited from the ledger; what an
 * agent carried, and what spoke against it, is told.
 */
export type FactRecord = {
  name: string
  status: Finding['status'] | Verdict
  claimed?: unknown
  /** Whom it is about, where nothing was known. */
  entity?: EntityUid
  facts: (Cited | Told)[]
}

/** What became of a claim, with the facts that say so. */
export type ClaimRecord = { name: string; status: Verdict; claimed: unknown; facts: (Cited | Told)[] }

/** What an unknown fact is called, in residuals and answers. */
export const unknownFact = (name: string): string => `facts.${name}`

/** What is known for a decision, about whom, and what its agent claims, by the names of facts. */
export type Known = {
  findings: ReadonlyMap<string, Finding>
  entities: ReadonlyMap<string, EntityUid>
  claims: ReadonlyMap<string, { verdict: Verdict; json: unknown }>
}

/** Members stand in the order of their names, as they are hashed. */
export const recordsOf = ({ findings, entities, claims }: Known): FactRecord[] => {
  const records: FactRecord[] = []
  for (const [name, finding] of findings) {
    const claim = claims.get(name)
    const status = claim?.verdict ?? finding.status
    if (finding.status === 'known') {
      const tells = status === 'contradicted' || finding.fact.from === 'attestation'
      const facts = [tells ? told(finding.fact) : cited(finding.fact)]
      records.push(claim ? { claimed: claim.json, facts, name, status } : { facts, name, status })
    } else {
      const claimed = claim && { claimed: claim.json }
      const entity = entities.get(name)
      const about = entity && { entity: { id: entity.id, type: entity.type } }
      records.push({ ...claimed, ...about, facts: finding.facts.map(told), name, status })
    }
  }
  for (const [name, { verdict, json }] of claims) {
    if (!findings.has(name)) records.push({ claimed: json, facts: [], name, status: verdict })
  }
  return records
}

export const cited = ({ id, named, hash, source, from }: Fact): Cited =>
  named ? { from, hash, id, named, source } : { from, hash, id, source }

export const told = ({ id, hash, source, json, observedAt, validUntil, evidence, from }: Fact): Told => ({
  ...(evidence !== undefined && { evidence }),
  from,
  hash,
  id,
  observed_at: observedAt,
  source,
  valid_until: validUntil,
  value: json,
})

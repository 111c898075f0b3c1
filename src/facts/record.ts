import type { EntityUid } from '../cedar/json.ts'
import type { Fact, Finding, Verdict } from './verdict.ts'

/** A fact of the ledger, named: what it says stands there for good. */
export type Cited = Pick<Fact, 'id' | 'hash' | 'source' | 'from'>

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
    const claimed = claim && { claimed: claim.json }
    if (finding.status === 'known') {
      const tells = status === 'contradicted' || finding.fact.from === 'attestation'
      records.push({ ...claimed, facts: [tells ? told(finding.fact) : cited(finding.fact)], name, status })
    } else {
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

/** The claims of a receipt, from what its secrets hold; none where that was erased or lies under a key. */
export const claimsIn = (secrets: Readonly<Record<string, object | undefined>>): ClaimRecord[] => {
  const { facts } = secrets
  // it was written by this file
  const records = facts && 'value' in facts ? (facts.value as FactRecord[]) : []
  return records.filter((record): record is ClaimRecord => 'claimed' in record)
}

export const cited = ({ id, hash, source, from }: Fact): Cited => ({ from, hash, id, source })

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

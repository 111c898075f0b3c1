import type { EntityUid } from '../cedar/json.ts'
import { contentHash } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import { type Known, type Told, told } from './record.ts'
import type { Fact, Finding, Verdict } from './verdict.ts'

/** One fact as a human is shown it: what sources say of it, and what the agent says. `known`: the agent says nothing. */
export type ShownFact = {
  name: string
  status: 'known' | Verdict
  /** Whom it is about; absent where the request names nobody. */
  about?: EntityUid
  claimed?: unknown
  facts: Told[]
}

/** What an approval binds of a fact: what was said of it, not when, so that a source may look again. */
export type BoundFact = { name: string; said: string; claimed?: string }

/** All that a decision relied upon, or lacked, in the order of its names. */
export const shownFacts = ({ findings, entities, claims }: Known): ShownFact[] =>
  [...new Set([...findings.keys(), ...claims.keys()])].sort().map(name => {
    const claim = claims.get(name)
    const entity = entities.get(name)
    const finding = findings.get(name) ?? NOTHING
    return {
      name,
      status: claim?.verdict ?? finding.status,
      ...(entity && { about: { type: entity.type, id: entity.id } }),
      ...(claim && { claimed: claim.json }),
      facts: saidIn(finding).map(told),
    }
  })

/** What an approval rests upon: what is known now, and of what only has lapsed since, what was known then. */
export const boundTo = (shown: readonly ShownFact[], now: readonly ShownFact[]): BoundFact[] =>
  shown.map((one, index) => {
    const current = now[index]
    return boundOf(current && SPEAKS.has(current.status) ? current : one)
  })

export const boundOf = (fact: ShownFact): BoundFact => ({
  name: fact.name,
  said: saidHash(fact),
  ...('claimed' in fact && { claimed: contentHash([fact.claimed]) }),
})

/** Names of what doesn't stand as it was shown. What isn't asked for any more, and claims that were dropped, don't count. */
export const changedSince = (bound: readonly BoundFact[], facts: readonly ShownFact[]): string[] => {
  const current = new Map(facts.map(fact => [fact.name, boundOf(fact)]))
  return bound
    .filter(({ name, said, claimed }) => {
      const is = current.get(name)
      return is && (is.said !== said || (is.claimed !== undefined && is.claimed !== claimed))
    })
    .map(({ name }) => name)
}

const NOTHING: Finding = { status: 'unsupported', facts: [] }

const KNOWN: ReadonlySet<ShownFact['status']> = new Set(['known', 'verified', 'contradicted'])
/** Where sources say something that holds. */
const SPEAKS: ReadonlySet<ShownFact['status']> = new Set([...KNOWN, 'disputed'])

/** What counted, or would have. */
export const saidIn = (finding: Finding): readonly Fact[] =>
  finding.status === 'known' ? [finding.fact] : finding.facts

const saidHash = ({ status, facts }: ShownFact): string =>
  contentHash([KNOWN.has(status) ? 'known' : status, [...new Set(facts.map(({ value }) => jcs(value)))].sort()])

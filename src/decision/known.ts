import type { Problem } from '../cedar/convert.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { Attribute, RecordType } from '../cedar/type.ts'
import { type CedarRecord, recordOf, setOf, unknown, type Value } from '../cedar/value.ts'
import { unknownFact } from '../facts/record.ts'
import type { Fact, Finding, Verdict } from '../facts/verdict.ts'

/** What is known for one action: of each fact that its policies ask for or its agent claims, and what was claimed. */
export type Truth = {
  findings: ReadonlyMap<string, Finding>
  /** Which entity each of them is about; absent where the request names none. */
  entities: ReadonlyMap<string, EntityUid>
  claims: ReadonlyMap<string, Claim>
  /** Where claims or attestations haven't the form that they must have. */
  problems: readonly Problem[]
  /** Attestations that count for nothing, and why. */
  refused: readonly { pointer: string; code: string }[]
  /** The last fact that the ledger held when it was read; 0 where it wasn't. */
  head: number
}

/** `value` is absent where the bundle declares no such fact. */
export type Claim = { json: unknown; value?: Value; verdict: Verdict }

/**
 * The members of a Cedar context that speak of truth, as far as the action's schema declares them: `facts` holds what is
 * known, and what isn't as a named unknown; `claims` what the agent says; `missing` and `contradicted` name what failed.
 */
export const membersOf = (declared: ReadonlyMap<string, Attribute>, truth: Truth | undefined): Map<string, Value> => {
  const members = new Map<string, Value>()
  const facts = recordType(declared.get('facts'))
  if (facts) members.set('facts', factsOf(facts, truth))
  const claims = recordType(declared.get('claims'))
  if (claims) members.set('claims', claimsOf(claims, truth))
  if (declared.has('missing')) {
    const names = [...(truth?.findings ?? [])].filter(([, { status }]) => status !== 'known').map(([name]) => name)
    members.set('missing', setOf(names))
  }
  if (declared.has('contradicted')) members.set('contradicted', setOf(contradictedBy(truth)))
  return members
}

/** The names of the claims that facts contradict. */
export const contradictedBy = (truth: Truth | undefined): string[] =>
  [...(truth?.claims ?? [])].filter(([, { verdict }]) => verdict === 'contradicted').map(([name]) => name)

const factsOf = ({ attributes }: RecordType, truth: Truth | undefined): CedarRecord =>
  recordOf(
    [...attributes].map(([name, { type }]): [string, Value] => {
      const finding = truth?.findings.get(name)
      return [name, finding?.status === 'known' ? factOf(finding.fact) : unknown(unknownFact(name), type)]
    }),
  )

const factOf = ({ value, source, observedAt, validUntil }: Fact): CedarRecord =>
  recordOf([
    ['value', value],
    ['source', source],
    ['observedAt', { kind: 'datetime', epoch: observedAt }],
    ['validUntil', { kind: 'datetime', epoch: validUntil }],
  ])

const claimsOf = ({ attributes }: RecordType, truth: Truth | undefined): CedarRecord =>
  recordOf(
    [...attributes.keys()].flatMap(name => {
      const value = truth?.claims.get(name)?.value
      return value === undefined ? [] : [[name, value] as const]
    }),
  )

const recordType = (attribute: Attribute | undefined): RecordType | undefined =>
  attribute?.type.kind === 'record' ? attribute.type : undefined

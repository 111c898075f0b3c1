import { type Refusal, refusal } from '../decision/refusal.ts'
import type { Judged } from './attestation.ts'
import { attested, MAX_ATTESTATIONS } from './attestation.ts'
import { readClaim } from './claims.ts'
import { find, withAttested } from './find.ts'
import { type ClaimRecord, told } from './record.ts'
import { saidIn } from './shown.ts'
import type { Fact } from './verdict.ts'
import { verdictOf } from './verdict.ts'

export const MAX_VERIFIED = 100

type Asked = {
  claims: readonly { name: string; entity: { type: string; id: string }; value: unknown }[]
  attestations: readonly string[]
}

type Against = Omit<Judged, 'agent'> & { db: D1Database; tenant: string }

type Verified = { claims: ClaimRecord[]; refused: { pointer: string; code: string }[] }

/** Holds claims against the facts, apart from any action: in one look at the ledger. */
export const verify = async (asked: Asked, against: Against): Promise<Verified | Refusal> => {
  const { bundle, now, db, tenant, trust } = against
  if (asked.attestations.length > MAX_ATTESTATIONS) {
    return refusal(400, 'malformed_request', { pointer: '/attestations', detail: `at most ${MAX_ATTESTATIONS}` })
  }
  const results = await Promise.all(asked.attestations.map(text => attested(text, { trust, bundle, now })))
  const refused = results.flatMap((result, index) =>
    Array.isArray(result) ? [] : [{ pointer: `/attestations/${index}${result.pointer ?? ''}`, code: result.refused }],
  )
  const carried = results.flatMap((result): Fact[] => (Array.isArray(result) ? result : []))

  const claims = []
  for (const [index, claim] of asked.claims.entries()) {
    const declared = bundle.facts.declared.get(claim.name)
    const read = declared && readClaim(declared, claim.value, `/claims/${index}/value`)
    if (read && !read.ok) {
      const [first] = read.problems
      return refusal(400, 'malformed_request', { pointer: first?.pointer ?? '', detail: first?.expected ?? '' })
    }
    claims.push({ claim, declared, value: read?.value })
  }
  const wants = claims.flatMap(({ claim: { entity }, declared }) =>
    declared ? [{ declared, entity, maxCacheMs: declared.maxCacheMs, maxAgeMs: undefined }] : [],
  )
  const { findings: found } = await find(withAttested(wants, carried), { db, tenant, bundle, now })
  return {
    refused,
    claims: claims.map(({ claim: { name, value: claimed }, declared, value }) => {
      const finding = declared && found.shift()
      if (!declared || !finding || value === undefined) return { name, status: 'unsupported', claimed, facts: [] }
      return { name, status: verdictOf(declared, value, finding), claimed, facts: saidIn(finding).map(told) }
    }),
  }
}

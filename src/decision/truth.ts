import type { Needed } from '../agent/calls/waits.ts'
import type { Pointed } from '../audit/receipt.ts'
import type { Problem } from '../cedar/convert.ts'
import { candidates } from '../cedar/evaluate.ts'
import { type EntityUid, isObject } from '../cedar/json.ts'
import type { Value } from '../cedar/value.ts'
import { attested, MAX_ATTESTATIONS } from '../facts/attestation.ts'
import { readClaim } from '../facts/claims.ts'
import { find, type Wanted, withAttested } from '../facts/find.ts'
import type { Subject } from '../facts/load.ts'
import { unknownFact } from '../facts/record.ts'
import { type Fact, type Finding, verdictOf } from '../facts/verdict.ts'
import type { Trust } from '../identity/token.ts'
import { uidText } from '../identity/uid.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { type Claim, contradictedBy, type Truth } from './known.ts'
import { judgedOf } from './legs.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { type What, what } from './what.ts'
import { type Who, who } from './who.ts'

/** What is known, where anything needs to be, and the action as it was read when nothing was yet. */
export type Gathered = { truth?: Truth | undefined; asked?: What }

const MAX_CLAIMS = 64

/**
 * Finds out what the actions of a call may rely upon: attestations are verified, and all that neither they nor this
 * isolate's copies settle is read in one look at the ledger.
 */
export const truthsOf = async (asks: readonly (Ask | Refusal)[], call: Call, facts: FactsIo): Promise<Gathered[]> => {
  const read = asks.map(ask => (isRefusal(ask) ? {} : draft(ask, call)))
  const drafts = read.map(one => (isDraft(one) ? one : undefined))
  if (drafts.every(one => one === undefined)) return read
  const carried = drafts.some(one => one !== undefined && one.attestations.length > 0)
  const attestations = carried ? await verifyAll(drafts, call, facts) : []
  const wanted = drafts.flatMap((one, index) => withAttested(one?.wants ?? [], attestations[index]?.facts ?? []))
  const { bundle, tenant, edge } = call
  const { findings: found, head } = await find(wanted, { db: facts.db, tenant, bundle, now: edge.now })
  return read.map((one, index) => {
    if (!isDraft(one)) return one
    const findings = new Map<string, Finding>()
    for (const { declared } of one.wants) findings.set(declared.name, found.shift() ?? NOTHING)
    const truth = truthOf(one, findings, attestations[index]?.refused ?? [], { call, head })
    return { truth, asked: one.asked }
  })
}

/** `trust`: by what attestations are verified, under the bundle of the call. */
export type FactsIo = { db: D1Database; trust: (bundle: LoadedBundle) => Trust }

type Draft = {
  who: Who
  asked: What
  wants: Wanted[]
  /** Asked for, and about an entity that the request doesn't name. */
  nameless: string[]
  claims: Map<string, { json: unknown; value?: Value }>
  attestations: string[]
  problems: Problem[]
}

const NOTHING: Finding = { status: 'unsupported', facts: [] }

const isDraft = (read: Draft | Gathered): read is Draft => 'wants' in read

/** What one action needs to know, where that is anything. */
const draft = (ask: Ask, call: Call): Draft | Gathered => {
  const { bundle } = call
  const given = { claims: ask.context?.claims, attestations: ask.context?.attestations }
  const speaks = given.claims !== undefined || given.attestations !== undefined
  if (!speaks && bundle.facts.declared.size === 0) return {}
  const actor = who(ask, call.caller, bundle)
  if (isRefusal(actor) || actor.unknown) return {}
  const asked = what(ask, actor, bundle, call.edge)
  if ('reason' in asked) return {}
  const problems: Problem[] = []
  const claims = readClaims(given.claims, call, problems)
  const attestations = readAttestations(given.attestations, problems)
  const needs = asksFor(actor, asked, call)
  for (const name of claims.keys()) if (!needs.has(name)) needs.set(name, {})
  // it may say what became of the same intent before
  const tells = bundle.settling.get(ask.action.name)?.fact.name
  if (tells !== undefined && !needs.has(tells)) needs.set(tells, {})
  if (needs.size === 0 && !speaks) return { asked }
  const wants: Wanted[] = []
  const nameless: string[] = []
  for (const [name, { maxAgeMs, maxCacheMs = Number.POSITIVE_INFINITY }] of needs) {
    const declared = bundle.facts.declared.get(name)
    if (!declared) continue
    const entity = entityOf(declared.of, actor, asked)
    const bounds = { maxAgeMs, maxCacheMs: Math.min(declared.maxCacheMs, maxCacheMs) }
    if (entity) wants.push({ declared, entity, ...bounds })
    else nameless.push(name)
  }
  return { who: actor, asked, wants, nameless, claims, attestations, problems }
}

/** How old a fact and a copy of it may be, in milliseconds. */
type Bounds = { maxAgeMs?: number; maxCacheMs?: number }

const NOTHING_OFFERED: ReadonlySet<string> = new Set()

const stricter = (one: Bounds = {}, other: Bounds): Bounds => ({
  ...least('maxAgeMs', one, other),
  ...least('maxCacheMs', one, other),
})

const least = (name: keyof Bounds, ...bounds: Bounds[]): Bounds => {
  const given = bounds.map(bound => bound[name]).filter(ms => ms !== undefined)
  return given.length === 0 ? {} : { [name]: Math.min(...given) }
}

/** The facts that the policies whose scope fits ask for, for any principal that is judged. */
const asksFor = (actor: Who, { action, resource, entities }: What, { bundle }: Call): Map<string, Bounds> => {
  const needs = new Map<string, Bounds>()
  const offered = bundle.facts.ofAction.get(action.key) ?? NOTHING_OFFERED
  if (offered.size === 0 && !bundle.facts.requires) return needs
  for (const principal of judgedOf(actor, bundle)) {
    for (const policy of candidates(bundle.policies, { principal, action, resource }, entities)) {
      for (const name of bundle.facts.readBy(policy, offered)) if (!needs.has(name)) needs.set(name, {})
      for (const { fact, ...bounds } of bundle.rules.get(policy.id)?.requires ?? [])
        needs.set(fact, stricter(needs.get(fact), bounds))
    }
  }
  return needs
}

const entityOf = (of: Subject, { principals }: Who, { resource, context }: What): EntityUid | undefined => {
  switch (of.kind) {
    case 'resource':
      return resource
    case 'principal':
      return principals.actor
    case 'user':
      return principals.user
    case 'argument': {
      const args = context.fields.get('arguments')
      const value = typeof args === 'object' && args.kind === 'record' ? args.fields.get(of.name) : undefined
      if (typeof value === 'string' && of.type !== undefined) return { type: of.type, id: value }
      return typeof value === 'object' && value.kind === 'entity' ? { type: value.type, id: value.id } : undefined
    }
  }
}

const readClaims = (json: unknown, { bundle }: Call, problems: Problem[]): Draft['claims'] => {
  const claims: Draft['claims'] = new Map()
  if (json === undefined) return claims
  if (!isObject(json) || Object.keys(json).length > MAX_CLAIMS) {
    problems.push({
      pointer: '/context/claims',
      code: 'mistyped',
      expected: `an object of at most ${MAX_CLAIMS} members`,
    })
    return claims
  }
  for (const [name, claimed] of Object.entries(json)) {
    const declared = bundle.facts.declared.get(name)
    if (!declared) {
      claims.set(name, { json: claimed })
      continue
    }
    const read = readClaim(declared, claimed, `/context/claims/${name}`)
    if (read.ok) claims.set(name, { json: claimed, value: read.value })
    else problems.push(...read.problems)
  }
  return claims
}

const readAttestations = (json: unknown, problems: Problem[]): string[] => {
  if (json === undefined) return []
  const texts = Array.isArray(json) ? json.filter(item => typeof item === 'string') : []
  if (Array.isArray(json) && texts.length === json.length && texts.length <= MAX_ATTESTATIONS) return texts
  const expected = `an array of at most ${MAX_ATTESTATIONS} strings`
  problems.push({ pointer: '/context/attestations', code: 'mistyped', expected })
  return []
}

type Verified = { facts: Fact[]; refused: Truth['refused'] }

const verifyAll = async (drafts: (Draft | undefined)[], call: Call, { trust }: FactsIo): Promise<Verified[]> => {
  const { bundle, edge } = call
  return Promise.all(
    drafts.map(async one => {
      const results = await Promise.all(
        (one?.attestations ?? []).map(text =>
          attested(text, {
            trust: trust(bundle),
            bundle,
            now: edge.now,
            ...(one && { agent: one.who.principals.actor }),
          }),
        ),
      )
      const facts: Fact[] = []
      const refused: { pointer: string; code: string }[] = []
      for (const [index, result] of results.entries()) {
        if (Array.isArray(result)) facts.push(...result)
        else refused.push({ pointer: `/context/attestations/${index}${result.pointer ?? ''}`, code: result.refused })
      }
      return { facts, refused }
    }),
  )
}

const truthOf = (
  { wants, nameless, claims: claimed, problems }: Draft,
  findings: Map<string, Finding>,
  refused: Truth['refused'],
  { call: { bundle }, head }: { call: Call; head: number },
): Truth => {
  for (const name of nameless) findings.set(name, NOTHING)
  const claims = new Map<string, Claim>()
  for (const [name, claim] of claimed) {
    const declared = bundle.facts.declared.get(name)
    const finding = findings.get(name)
    const judged = declared && finding && claim.value !== undefined
    claims.set(name, { ...claim, verdict: judged ? verdictOf(declared, claim.value ?? false, finding) : 'unsupported' })
  }
  const entities = new Map<string, EntityUid>()
  for (const { declared, entity } of wants) entities.set(declared.name, entity)
  return { findings, entities, claims, problems, refused, head }
}

/** Why an action is denied before any policy: what was presented to be relied upon can't be. */
export const untrue = (
  truth: Truth | undefined,
  { facts }: LoadedBundle,
): { reason: 'attestation_refused' | 'claim_contradicted'; problems: Pointed[] } | undefined => {
  const refused = truth?.refused ?? []
  if (refused.length > 0) {
    const problems = refused.map(({ pointer, code }) => ({ pointer, code, expected: 'an attestation that holds here' }))
    return { reason: 'attestation_refused', problems }
  }
  const denied = contradictedBy(truth).filter(name => facts.declared.get(name)?.on_contradiction === 'deny')
  if (denied.length === 0) return undefined
  const expected = 'what the source of record says'
  const problems = denied.map(name => ({ pointer: `/context/claims/${name}`, code: 'contradicted', expected }))
  return { reason: 'claim_contradicted', problems }
}

/** What the ledger could give of what isn't known. */
export const needsOf = ({ findings, entities, head }: Truth, { facts }: LoadedBundle): Needed[] => {
  const needs: Needed[] = []
  for (const [name, { status }] of findings) {
    if (status === 'known' && !facts.requires) continue
    const entity = entities.get(name)
    const predicate = facts.declared.get(name)?.predicate
    if (!entity || predicate === undefined) continue
    needs.push({ name: unknownFact(name), entity: uidText(entity), predicate, since: head })
  }
  return needs
}

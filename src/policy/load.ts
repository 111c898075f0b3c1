import { type EntityStore, loadEntities } from '../cedar/entities.ts'
import { loadPolicies, type PolicySet } from '../cedar/policies.ts'
import { loadSchema, type Schema } from '../cedar/schema.ts'
import { type LoadedFacts, loadFacts } from '../facts/load.ts'
import { readSettling, type Settling } from '../facts/settling.ts'
import { type RuleMeta, readAnnotations } from './annotations.ts'
import { approverProblems } from './approvers.ts'
import type { Bundle } from './bundle.ts'
import { escalationOf, groupsOf } from './escalation.ts'
import { exchangeProblems } from './exchange.ts'
import { parseRate, type Rate } from './rate.ts'
import type { Issuer, Tenant } from './tenant.ts'

/** A bundle in the form that decisions read, made once per isolate. */
export type LoadedBundle = {
  seq: number
  hash: string
  tenant: string
  settings: Tenant
  policies: PolicySet
  schema: Schema
  entities: EntityStore
  /** What the annotations of each policy mean, by policy id. */
  rules: ReadonlyMap<string, RuleMeta>
  /** The texts of forbids that humans may lift, by policy id: what they are shown. */
  texts: ReadonlyMap<string, string>
  /** Those of the settings; no two have one `iss`. */
  issuers: readonly Issuer[]
  facts: LoadedFacts
  /** Actions whose outcome a fact tells. */
  settling: ReadonlyMap<string, Settling>
  /** Whether any action is judged by what went before it. */
  remembers: boolean
  /** What of it any policy may read: members of `context.session`. */
  remembered: readonly string[]
  /** The bucket of decisions without an allow. */
  attempts: Rate
}

export type Loaded = { ok: true; bundle: LoadedBundle } | { ok: false; problem: string }

/**
 * Makes a bundle ready for decisions, or says why this Worker must not use it. `check` lets none of these through, but
 * the Worker may be older than the CLI that pushed, and what it doesn't understand it can't enforce.
 */
export const loadBundle = (
  bundle: Bundle,
  as: { tenant: string; seq: number; hash: string; local: boolean },
): Loaded => {
  const { settings } = bundle
  if (settings.tenant !== as.tenant) return refuse(`it is a bundle of the tenant ${settings.tenant}`)
  if (!as.local && settings.issuers.some(issuer => issuer.development)) {
    return refuse('it trusts a development issuer, and this Worker does not run with LOCAL="true"')
  }
  const { issuers } = settings
  if (new Set(issuers.map(({ iss }) => iss)).size < issuers.length) return refuse('two issuers have one `iss`')
  const attempts = parseRate(settings.limits.attempts)
  if (attempts === undefined) return refuse(`limits.attempts is not a rate: ${settings.limits.attempts}`)
  const [misfit] = [...approverProblems(settings, as.local), ...exchangeProblems(settings)]
  if (misfit) return refuse(`tenant.json${misfit.pointer} ${misfit.problem}`)
  try {
    const schema = loadSchema(bundle.schema)
    const policies = loadPolicies(bundle.policies)
    const entities = loadEntities(bundle.entities, schema)
    const rules = new Map<string, RuleMeta>()
    const texts = new Map<string, string>()
    for (const { id, effect, annotations } of policies.values()) {
      const text = bundle.texts[id]
      if (text === undefined) return refuse(`policy ${id}: its text is missing`)
      const { rule, problems } = readAnnotations({ id, effect, textHash: text.hash }, annotations)
      if (problems[0] !== undefined) return refuse(`policy ${id}: ${problems[0].message}`)
      rules.set(id, rule)
      const terms = escalationOf(rule)
      if (!terms) continue
      const unknown = groupsOf(terms).find(group => !Object.hasOwn(settings.approvers, group))
      if (unknown !== undefined) return refuse(`policy ${id}: tenant.json has no approver group ${unknown}`)
      texts.set(id, text.text)
    }
    const facts = loadFacts(bundle.facts, schema, policies, rules)
    const { settling, problems } = readSettling(settings.outcomes ?? {}, schema, facts.declared)
    if (problems[0]) return refuse(`tenant.json/outcomes${problems[0].pointer} ${problems[0].problem}`)
    const { seq, hash, tenant } = as
    const remembers = [...schema.actions.values()].some(({ context }) => context.attributes.has('session'))
    const loaded = { settings, policies, schema, entities, rules, texts, issuers, facts, settling, attempts, remembers }
    return { ok: true, bundle: { seq, hash, tenant, ...loaded, remembered: rememberedBy(schema) } }
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

const rememberedBy = (schema: Schema): string[] => {
  const types = [...schema.actions.values()].map(({ context }) => context.attributes.get('session')?.type)
  return [...new Set(types.flatMap(type => (type?.kind === 'record' ? [...type.attributes.keys()] : [])))].sort()
}

const refuse = (problem: string): Loaded => ({ ok: false, problem })

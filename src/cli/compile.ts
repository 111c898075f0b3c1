import type { PolicyJson } from '../cedar/json.ts'
import { type Bundle, MAX_BUNDLE_BYTES, writeBundle } from '../policy/bundle.ts'
import { type LoadedBundle, loadBundle } from '../policy/load.ts'
import { emptyGroups, unknownGroups } from './compile/approvers.ts'
import { groupless, unaccountable } from './compile/budgets.ts'
import { type Finding, validatePolicies } from './compile/cedar.ts'
import { type Diagnostic, error, warning } from './compile/diagnostic.ts'
import { readEntities } from './compile/entities.ts'
import { checkSources, readFacts, undeclaredRequirements } from './compile/facts.ts'
import { readFolder } from './compile/folder.ts'
import { readLinks, type WrittenLink } from './compile/links.ts'
import { unsettling } from './compile/outcomes.ts'
import { unmeteredOverlaps } from './compile/overlap.ts'
import { readPolicies, type WrittenPolicy } from './compile/policies.ts'
import { badRewrites } from './compile/rewrites.ts'
import { readSchema } from './compile/schema.ts'
import { sessionless } from './compile/sessions.ts'
import { readTenant } from './compile/tenant.ts'

/** What a policy folder comes to. There is a bundle only where there is no error. */
export type Compiled = { bundle?: Bundle; diagnostics: Diagnostic[] }

/**
 * Turns a policy folder into a bundle: `tenant.json`, `*.cedar`, one `*.cedarschema`, and, where they are there,
 * `entities.json`, `links.json` and `facts.json`. Everything is checked as far as it can be, so that one run tells all that is wrong.
 * `tenant` takes the place of the name in `tenant.json`; `local` is for this machine's Worker alone, which may call this
 * machine.
 */
export const compile = async (
  dir: string,
  options: { tenant?: string | undefined; local?: boolean } = {},
): Promise<Compiled> => {
  const folder = readFolder(dir)
  const diagnostics = [...folder.diagnostics]
  const take = <T extends { diagnostics: Diagnostic[] }>(part: T): T => {
    diagnostics.push(...part.diagnostics)
    return part
  }
  const schema = folder.schema && take(readSchema(folder.schema)).schema
  const { tenant, placeOf } = folder.tenant ? take(await readTenant(folder.tenant, schema, options.local)) : {}
  const { written } = take(readFacts(folder.facts, schema))
  const { policies } = take(readPolicies(folder.policies))
  const { links } = take(readLinks(folder.links, policies))
  const { entities } = take(readEntities(folder.entities, schema))
  // What is wrong with facts.json is told already, and not told again of all that rests on it.
  const facts = folder.facts ? written?.facts : NO_FACTS
  if (tenant && placeOf) {
    if (facts) diagnostics.push(...checkSources(tenant.issuers, facts, placeOf))
    diagnostics.push(...emptyGroups(tenant, entities, placeOf))
  }
  if (facts) diagnostics.push(...undeclaredRequirements(policies.values(), facts))
  if (schema !== undefined) diagnostics.push(...validate(schema.text, policies, links))
  if (tenant !== undefined) diagnostics.push(...unknownGroups(policies.values(), tenant))
  if (schema && tenant && placeOf && !hasErrors(diagnostics))
    diagnostics.push(...unsettling(tenant, schema.schema, written?.facts, placeOf))
  if (schema === undefined || tenant === undefined || hasErrors(diagnostics))
    return { diagnostics: sorted(diagnostics) }

  const settings = { ...tenant, ...(options.tenant !== undefined && { tenant: options.tenant }) }
  const bundle: Bundle = {
    v: 1,
    settings,
    ...policySet(policies, links),
    schema: schema.json,
    entities,
    ...(written && { facts: written.facts }),
  }
  const loaded = take(load(bundle)).loaded
  if (loaded !== undefined) diagnostics.push(...overlaps(loaded, policies, links))
  if (loaded !== undefined) diagnostics.push(...wrongRewrites(loaded, policies, links))
  if (loaded !== undefined) diagnostics.push(...budgets(loaded, policies, links))
  if (loaded !== undefined) diagnostics.push(...sessions(loaded, policies, links))
  return { ...(!hasErrors(diagnostics) && { bundle }), diagnostics: sorted(diagnostics) }
}

const NO_FACTS = { sources: {}, facts: {} }

type Policies = ReadonlyMap<string, WrittenPolicy>

const hasErrors = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some(({ severity }) => severity === 'error')

const policySet = (policies: Policies, links: readonly WrittenLink[]): Pick<Bundle, 'policies' | 'texts'> => {
  const jsonOf = (template: boolean): Record<string, PolicyJson> =>
    Object.fromEntries(
      [...policies.values()].filter(policy => policy.template === template).map(({ id, json }) => [id, json]),
    )
  const texts = [...policies.values(), ...links.map(({ json, text, hash }) => ({ id: json.newId, text, hash }))]
  return {
    policies: { staticPolicies: jsonOf(false), templates: jsonOf(true), templateLinks: links.map(({ json }) => json) },
    texts: Object.fromEntries(texts.map(({ id, text, hash }) => [id, { text, hash }])),
  }
}

/** Cedar's strict validation of all that could be parsed. */
const validate = (schema: string, policies: Policies, links: readonly WrittenLink[]): Diagnostic[] => {
  const usable = links.filter(({ json }) => policies.get(json.templateId)?.template)
  const textsOf = (template: boolean) =>
    Object.fromEntries(
      [...policies.values()].filter(policy => policy.template === template).map(({ id, text }) => [id, text]),
    )
  const found = validatePolicies(schema, {
    policies: textsOf(false),
    templates: textsOf(true),
    links: usable.map(({ json }) => json),
  })
  const about = ({ policy = '', hint, range }: Finding) => {
    const place = written(policy, policies, links)?.placeOf(range)
    return { hint, place, ...(policy !== '' && { policy }) }
  }
  const wrong = new Set(found.errors.map(({ policy }) => policy))
  return [
    ...found.errors.map(finding => error(finding.message, about(finding))),
    // What is wrong with a policy also makes it impossible, and so on: that would be told twice.
    ...found.warnings
      .filter(({ policy }) => !wrong.has(policy))
      .map(finding => warning(finding.message, about(finding))),
  ]
}

/** The policy of an id; for a link, its template. */
const written = (id: string, policies: Policies, links: readonly WrittenLink[]): WrittenPolicy | undefined =>
  policies.get(links.find(({ json }) => json.newId === id)?.json.templateId ?? id)

/** Does what the Worker will do, so that no bundle is pushed that no Worker takes. */
const load = (bundle: Bundle): { loaded?: LoadedBundle; diagnostics: Diagnostic[] } => {
  const { body, hash } = writeBundle(bundle)
  const bytes = Buffer.byteLength(body)
  if (bytes > MAX_BUNDLE_BYTES) {
    const message = `the bundle has ${bytes.toLocaleString('en')} bytes; ${MAX_BUNDLE_BYTES.toLocaleString('en')} is the most`
    return { diagnostics: [error(message)] }
  }
  const loaded = loadBundle(bundle, { tenant: bundle.settings.tenant, seq: 1, hash, local: true })
  return loaded.ok ? { loaded: loaded.bundle, diagnostics: [] } : { diagnostics: [error(loaded.problem)] }
}

const wrongRewrites = (loaded: LoadedBundle, policies: Policies, links: readonly WrittenLink[]): Diagnostic[] =>
  badRewrites(loaded).map(({ policy, problem }) =>
    error(problem, { policy, place: written(policy, policies, links)?.placeOf() }),
  )

const overlaps = (loaded: LoadedBundle, policies: Policies, links: readonly WrittenLink[]): Diagnostic[] =>
  unmeteredOverlaps(loaded.policies, loaded.rules, loaded.entities).map(({ metered, unmetered }) =>
    warning(`its limit may limit nothing: ${unmetered} has no limit and may permit the same`, {
      policy: metered,
      place: written(metered, policies, links)?.placeOf(),
      hint: 'only scopes were compared; what must hold always is a forbid with a limit',
    }),
  )

const budgets = (loaded: LoadedBundle, policies: Policies, links: readonly WrittenLink[]): Diagnostic[] => [
  ...groupless(loaded).map(({ policy, type }) =>
    error(`@budget is per group ${type}, and the schema has no such entity type`, {
      policy,
      place: written(policy, policies, links)?.placeOf(),
    }),
  ),
  ...unaccountable(loaded).map(({ policy, argument, action, what }) =>
    error(`@budget adds up ${argument}, but action ${JSON.stringify(action)} ${what}`, {
      policy,
      place: written(policy, policies, links)?.placeOf(),
      hint: 'a budget adds up a required Long of every action that its policy is about',
    }),
  ),
]

const sessions = (loaded: LoadedBundle, policies: Policies, links: readonly WrittenLink[]): Diagnostic[] =>
  sessionless(loaded).map(policy =>
    error('@session says whose session is read, and the policy reads none', {
      policy,
      place: written(policy, policies, links)?.placeOf(),
      hint: 'leave it out, or say what must hold of context.session',
    }),
  )

/** As a reader goes through the files. */
const sorted = (diagnostics: readonly Diagnostic[]): Diagnostic[] =>
  diagnostics.toSorted(
    (a, b) =>
      (a.place?.file ?? '').localeCompare(b.place?.file ?? '') ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0),
  )

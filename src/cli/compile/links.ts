import * as v from 'valibot'
import type { TemplateLinkJson } from '../../cedar/json.ts'
import { contentHash } from '../../durable/hash.ts'
import { uidText } from '../../identity/uid.ts'
import { POLICY_ID } from '../../policy/annotations.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import { parseJsonFile } from './json-file.ts'
import type { WrittenPolicy } from './policies.ts'
import type { SourceText } from './source-text.ts'

/** A link of a template, which is a policy of its own. */
export type WrittenLink = { json: TemplateLinkJson; text: string; hash: string }

const slotNames = ['?principal', '?resource'] as const

const Uid = v.strictObject({ type: v.string(), id: v.string() })
const Links = v.array(
  v.strictObject({
    templateId: v.string(),
    newId: v.pipe(v.string(), v.regex(POLICY_ID, 'an id is 1-128 letters, digits, - _ and .')),
    values: v.strictObject({ '?principal': v.optional(Uid), '?resource': v.optional(Uid) }),
  }),
)

/** Reads `links.json`: Cedar's JSON form of template links. */
export const readLinks = (file: SourceText | undefined, policies: ReadonlyMap<string, WrittenPolicy>) => {
  const links: WrittenLink[] = []
  const diagnostics: Diagnostic[] = []
  const parsed = file && parseJsonFile(file, Links)
  if (parsed?.ok === false) return { links, diagnostics: parsed.diagnostics }
  const ids = new Set([...policies.values()].map(({ id }) => id))
  for (const [index, { templateId, newId, values }] of (parsed?.value ?? []).entries()) {
    const place = parsed?.placeOf(`/${index}`)
    const before = diagnostics.length
    const complain = (message: string) => diagnostics.push(error(message, { policy: newId, place }))
    const template = policies.get(templateId)
    if (template?.template !== true) complain(`there is no template ${templateId}`)
    if (ids.has(newId)) complain(`two policies have the id ${newId}`)
    ids.add(newId)
    if (template?.template !== true) continue
    const wanted = slotsOf(template)
    for (const slot of slotNames) {
      if (wanted.includes(slot) && values[slot] === undefined) complain(`the link gives no ${slot}`)
      if (!wanted.includes(slot) && values[slot] !== undefined) complain(`the template ${templateId} has no ${slot}`)
    }
    if (diagnostics.length > before) continue
    const given = slotNames.flatMap(slot => {
      const uid = values[slot]
      return uid === undefined ? [] : [{ slot, uid }]
    })
    const slots = Object.fromEntries(given.map(({ slot, uid }) => [slot, uid]))
    links.push({
      json: { templateId, newId, values: slots },
      text: `${template.text}\n${given.map(({ slot, uid }) => `// ${slot} is ${uidText(uid)}`).join('\n')}`,
      hash: contentHash({ template: template.json, values: slots }),
    })
  }
  // The order of the file means nothing, so it doesn't change the bundle's hash.
  links.sort((a, b) => (a.json.newId < b.json.newId ? -1 : 1))
  return { links, diagnostics }
}

const slotsOf = ({ json }: WrittenPolicy): string[] =>
  [json.principal, json.resource].flatMap(scope => {
    const constraint = scope.op === 'is' ? scope.in : scope.op === 'All' ? undefined : scope
    return constraint !== undefined && 'slot' in constraint ? [constraint.slot] : []
  })

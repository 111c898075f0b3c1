import { convert } from '../cedar/convert.ts'
import type { Schema } from '../cedar/schema.ts'
import { equals, type Value } from '../cedar/value.ts'
import type { Declared } from './load.ts'
import type { Finding } from './verdict.ts'

/** What a fact can say of an action: an outcome that settles it. */
export const settled = ['done', 'failed', 'not_done'] as const
export type Settled = (typeof settled)[number]

/** As an admin writes it: which fact says what became of an action, and by which of its values. */
type Setting = { fact: string } & { readonly [of in Settled]?: readonly unknown[] | undefined }

/** The same, read by the types of the schema. */
export type Settling = { fact: Declared; values: readonly (readonly [Value, Settled])[] }

/** What is wrong with a setting; `pointer` leads into it. */
export type Unsettling = { pointer: string; problem: string }

/** Reads `outcomes` of tenant.json, by action. */
export const readSettling = (
  settings: Readonly<Record<string, Setting>>,
  schema: Schema,
  facts: ReadonlyMap<string, Declared>,
): { settling: Map<string, Settling>; problems: Unsettling[] } => {
  const settling = new Map<string, Settling>()
  const problems: Unsettling[] = []
  for (const [action, setting] of Object.entries(settings)) {
    const at = (member: string, problem: string) => problems.push({ pointer: `/${action}${member}`, problem })
    const known = [...schema.actions.values()].find(({ uid }) => uid.id === action)
    const fact = facts.get(setting.fact)
    if (!known) at('', `: the schema has no action ${action}`)
    if (!fact) at('/fact', `: facts.json declares no ${setting.fact}`)
    if (!known || !fact) continue
    const { of } = fact
    const args = known.context.attributes.get('arguments')?.type
    const argument = of.kind === 'argument' && args?.kind === 'record' ? args.attributes.get(of.name) : undefined
    if (of.kind === 'argument' && argument?.type.kind !== (of.type === undefined ? 'entity' : 'string')) {
      at('/fact', `is about arguments.${of.name}, and ${action} has none that names it`)
    }
    const values: [Value, Settled][] = []
    for (const outcome of settled) {
      for (const [index, json] of (setting[outcome] ?? []).entries()) {
        const read = convert(fact.type, json, '')
        if (!read.ok) at(`/${outcome}/${index}`, `is no value of ${setting.fact}`)
        else if (values.some(([value]) => equals(value, read.value))) at(`/${outcome}/${index}`, 'stands twice')
        else values.push([read.value, outcome])
      }
    }
    if (settled.every(outcome => (setting[outcome] ?? []).length === 0))
      at('', 'settles nothing: name values that mean done, failed or not_done')
    settling.set(action, { fact, values })
  }
  return { settling, problems }
}

/** What is known, taken as an outcome; `undefined` where it settles nothing, or nothing yet. */
export const outcomeOf = ({ values }: Settling, finding: Finding): Settled | undefined => {
  if (finding.status !== 'known') return undefined
  return values.find(([value]) => equals(value, finding.fact.value))?.[1]
}

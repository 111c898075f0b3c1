import { contentHash } from '../durable/hash.ts'
import type { Bundle } from '../policy/bundle.ts'
import { plural } from './render.ts'

/** How much of everything a bundle holds. */
export const counts = ({ policies, schema, entities, settings }: Bundle) => ({
  policies: Object.keys(policies.staticPolicies ?? {}).length + (policies.templateLinks?.length ?? 0),
  templates: Object.keys(policies.templates ?? {}).length,
  actions: Object.values(schema).reduce((sum, { actions }) => sum + Object.keys(actions).length, 0),
  entities: entities.length,
  issuers: settings.issuers.length,
})

export const describe = (bundle: Bundle): string => {
  const { policies, templates, actions, entities, issuers } = counts(bundle)
  const ofTemplates = templates > 0 ? ` (${plural(templates, 'template')})` : ''
  return [
    `${plural(policies, 'policy')}${ofTemplates}`,
    plural(actions, 'action'),
    plural(entities, 'entity'),
    plural(issuers, 'issuer'),
  ].join(', ')
}

/** What a bundle changes, by policy id, and which other parts differ. */
export const changes = (before: Bundle | undefined, after: Bundle) => {
  const [old, now] = [before?.texts ?? {}, after.texts]
  const added = Object.keys(now).filter(id => !Object.hasOwn(old, id))
  const removed = Object.keys(old).filter(id => !Object.hasOwn(now, id))
  const changed = Object.keys(now).filter(id => Object.hasOwn(old, id) && old[id]?.hash !== now[id]?.hash)
  const parts = (['schema', 'entities', 'settings'] as const).filter(
    part => before !== undefined && contentHash(before[part]) !== contentHash(after[part]),
  )
  return { added, removed, changed, parts }
}

export const describeChanges = (before: Bundle | undefined, after: Bundle): string => {
  if (before === undefined) return 'the first bundle of this tenant'
  const { added, removed, changed, parts } = changes(before, after)
  const lines = [
    ...added.map(id => `  + ${id}`),
    ...removed.map(id => `  - ${id}`),
    ...changed.map(id => `  ~ ${id}`),
    ...parts.map(part => `  ~ ${part}`),
  ]
  return lines.length === 0 ? 'same content as before' : ['since the active bundle:', ...lines].join('\n')
}

import type { EntityStore } from '../cedar/entities.ts'
import type { LoadedBundle } from '../policy/load.ts'

/** Ids of the bundle's entities of a type, in its own order; of a type that the schema lists, those. */
export const idsOf = (type: string, { entities, schema }: LoadedBundle): readonly string[] =>
  schema.entityTypes.get(type)?.ids ?? byType(entities).get(type) ?? []

/** Made once for each bundle. */
const byType = (entities: EntityStore): ReadonlyMap<string, readonly string[]> => {
  const known = indexes.get(entities)
  if (known) return known
  const index = new Map<string, string[]>()
  for (const { uid } of entities.values()) {
    const ids = index.get(uid.type)
    if (ids) ids.push(uid.id)
    else index.set(uid.type, [uid.id])
  }
  indexes.set(entities, index)
  return index
}

const indexes = new WeakMap<EntityStore, ReadonlyMap<string, readonly string[]>>()

import type { EntityStore } from '../../cedar/entities.ts'
import type { PolicySet } from '../../cedar/policies.ts'
import type { Constraint, Policy } from '../../cedar/policy.ts'
import type { EntityRef } from '../../cedar/value.ts'
import { isMetered, type RuleMeta } from '../../policy/annotations.ts'

/**
 * Pairs of a metered permit and an unmetered one that may permit the same request: there the limit limits nothing, since
 * a leg uses an unmetered permit first. Only scopes are compared, and only with the bundle's own entities: conditions
 * may still keep the two apart, and entities that come with a request may bring them together.
 */
export const unmeteredOverlaps = (
  policies: PolicySet,
  rules: ReadonlyMap<string, RuleMeta>,
  entities: EntityStore,
): { metered: string; unmetered: string }[] => {
  const permits = [...policies.values()].filter(({ effect }) => effect === 'permit')
  const hasMeter = ({ id }: Policy) => isMetered(rules.get(id) ?? { limits: [], budgets: [] })
  const unmetered = permits.filter(policy => !hasMeter(policy))
  const meet = meeting(entities)
  return permits
    .filter(hasMeter)
    .flatMap(metered =>
      unmetered
        .filter(other => parts.every(part => meet(metered.scope[part], other.scope[part])))
        .map(other => ({ metered: metered.id, unmetered: other.id })),
    )
}

const parts = ['action', 'principal', 'resource'] as const

/** Whether two constraints have something in common. */
const meeting = (entities: EntityStore) => {
  const known = new Map<Constraint, ReadonlySet<string>>()
  return meet

  function meet(a: Constraint, b: Constraint): boolean {
    if (a.op === 'any' || b.op === 'any') return true
    if (a.op === '==') return covers(b, a.entity, entities)
    if (b.op === '==') return covers(a, b.entity, entities)
    if (a.op === 'is' && b.op === 'is') return a.type === b.type
    // At least one is a group: they meet where something stands in both, or is of the type and in the group.
    const others = members(b)
    return [...members(a)].some(key => others.has(key))
  }

  function members(constraint: Constraint): ReadonlySet<string> {
    const before = known.get(constraint)
    if (before !== undefined) return before
    const found = [...entities.values()].filter(({ uid }) => covers(constraint, uid, entities))
    const keys = new Set(found.map(({ uid }) => uid.key))
    known.set(constraint, keys)
    return keys
  }
}

/** Whether a constraint allows an entity. */
export const covers = (constraint: Constraint, entity: EntityRef, entities: EntityStore): boolean => {
  switch (constraint.op) {
    case 'any':
      return true
    case 'is':
      return constraint.type === entity.type
    case '==':
      return constraint.entity.key === entity.key
    case 'in': {
      if (constraint.type !== undefined && constraint.type !== entity.type) return false
      const ancestors = entities.get(entity.key)?.ancestors
      return constraint.entities.some(({ key }) => key === entity.key || ancestors?.has(key) === true)
    }
  }
}

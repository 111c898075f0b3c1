import { isObject } from '../../cedar/json.ts'
import type { Policy } from '../../cedar/policy.ts'
import type { LoadedBundle } from '../../policy/load.ts'

/** Policies that say whose session they read, and read none. */
export const sessionless = ({ policies, rules }: Pick<LoadedBundle, 'policies' | 'rules'>): string[] =>
  [...policies.values()].filter(policy => rules.get(policy.id)?.tree && !readsSession(policy)).map(({ id }) => id)

export const readsSession = ({ json }: Policy): boolean => mentions(json.conditions)

const mentions = (part: unknown): boolean => {
  if (Array.isArray(part)) return part.some(mentions)
  if (!isObject(part)) return false
  const at = isObject(part['.']) ? part['.'] : undefined
  const isContext = isObject(at?.left) && at.left.Var === 'context'
  return (isContext && at?.attr === 'session') || Object.values(part).some(mentions)
}

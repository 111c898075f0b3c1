import { isObject, type PolicyJson } from '../cedar/json.ts'

/** What a policy can read of facts: names, or anything that the action's context has. */
export type Reads = { names: ReadonlySet<string>; all: boolean }

/**
 * Which facts a policy's conditions ask for, as they are written. `context.missing` can name any fact, and a context or
 * a `context.facts` that is used whole holds them all.
 */
export const readsOf = ({ conditions }: Pick<PolicyJson, 'conditions'>): Reads => {
  const names = new Set<string>()
  let all = false
  const visit = (json: unknown): void => {
    if (typeof json !== 'object' || json === null) return
    const path = isObject(json) ? pathOf(json) : undefined
    if (path === undefined) {
      for (const part of Object.values(json)) visit(part)
      return
    }
    const [member, fact] = path
    if (member === undefined || member === 'missing') all = true
    else if (member === 'facts') {
      if (fact === undefined) all = true
      else names.add(fact)
    }
  }
  for (const { body } of conditions) visit(body)
  return { names, all }
}

/** The attributes that an expression takes from `context`, one after the other; undefined where it isn't one that does. */
const pathOf = (json: { readonly [key: string]: unknown }): string[] | undefined => {
  if (json.Var === 'context') return []
  const step = json['.'] ?? json.has
  if (!isObject(step) || !isObject(step.left)) return undefined
  const left = pathOf(step.left)
  if (!left) return undefined
  const attributes = Array.isArray(step.attr) ? step.attr.map(String) : [String(step.attr)]
  return [...left, ...attributes]
}

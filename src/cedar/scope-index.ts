import type { Entity } from './entities.ts'
import type { Constraint, Policy, Scope } from './policy.ts'
import type { EntityRef } from './value.ts'

/**
 * Finds the policies whose scope matches a request, at a cost that hangs on how many those are and not on how many
 * there are in all. It is a tree: policies are parted by what they ask of the action, then of the resource, then of the
 * principal. A request follows the branches of its own entity, of that entity's ancestors and type, and of `any`.
 */
export interface Index {
  readonly root: Branch | Leaf
}

/** What a request names in one place: the entity, and its record where the store has one; or just a type, or nothing. */
export type Named =
  | { readonly uid: EntityRef; readonly entity: Entity | undefined }
  | { readonly uid: undefined; readonly type: string | undefined }

export type NamedParts = { readonly [Part in keyof Scope]: Named }

export function buildIndex(policies: readonly Policy[]): Index {
  return { root: grow(policies, 0) }
}

/** The policies that match or, where the request leaves a place open, can match. Each once, in no particular order. */
export function matching(index: Index, request: NamedParts): Policy[] {
  const found: Policy[] = []
  collect(index.root, request, found)
  return found
}

function matches(constraint: Constraint, named: Named): boolean {
  if (named.uid === undefined) return constraint.op !== 'is' || (named.type ?? constraint.type) === constraint.type
  const { uid, entity } = named
  switch (constraint.op) {
    case 'any':
      return true
    case 'is':
      return uid.type === constraint.type
    case '==':
      return uid.key === constraint.entity.key
    case 'in':
      if (constraint.type !== undefined && constraint.type !== uid.type) return false
      return constraint.entities.some(({ key }) => key === uid.key || entity?.ancestors.has(key) === true)
  }
}

/** A few policies, each tested for what the branches above couldn't. */
interface Leaf {
  readonly policies: readonly Policy[]
  readonly untested: readonly (keyof Scope)[]
}

interface Branch {
  readonly part: keyof Scope
  readonly any: Branch | Leaf | undefined
  readonly byType: ReadonlyMap<string, Branch | Leaf> | undefined
  readonly byEntity: ReadonlyMap<string, Branch | Leaf> | undefined
  readonly byAncestor: ReadonlyMap<string, Branch | Leaf> | undefined
}

const ORDER: readonly (keyof Scope)[] = ['action', 'resource', 'principal']

/** Up to this many, testing each beats more branches. */
const LEAF_SIZE = 4

function grow(policies: readonly Policy[], depth: number): Branch | Leaf {
  const part = ORDER[depth]
  if (part === undefined || policies.length <= LEAF_SIZE) {
    // A branch by ancestor says nothing of the type in `is T in E`.
    const untested = ORDER.filter((part, i) => i >= depth || policies.some(({ scope }) => typedIn(scope[part])))
    return { policies, untested }
  }
  const any: Policy[] = []
  const byType = new Map<string, Policy[]>()
  const byEntity = new Map<string, Policy[]>()
  const byAncestor = new Map<string, Policy[]>()
  for (const policy of policies) {
    const constraint = policy.scope[part]
    if (constraint.op === 'any') any.push(policy)
    else if (constraint.op === 'is') put(byType, constraint.type, policy)
    else if (constraint.op === '==') put(byEntity, constraint.entity.key, policy)
    else for (const key of new Set(constraint.entities.map(entity => entity.key))) put(byAncestor, key, policy)
  }
  return {
    part,
    any: any.length === 0 ? undefined : grow(any, depth + 1),
    byType: growAll(byType, depth),
    byEntity: growAll(byEntity, depth),
    byAncestor: growAll(byAncestor, depth),
  }
}

function typedIn(constraint: Constraint): boolean {
  return constraint.op === 'in' && constraint.type !== undefined
}

function growAll(groups: ReadonlyMap<string, Policy[]>, depth: number): ReadonlyMap<string, Branch | Leaf> | undefined {
  if (groups.size === 0) return undefined
  return new Map([...groups].map(([key, policies]) => [key, grow(policies, depth + 1)]))
}

function put(groups: Map<string, Policy[]>, key: string, policy: Policy): void {
  const group = groups.get(key)
  if (group === undefined) groups.set(key, [policy])
  else group.push(policy)
}

/** The number of branches followed: 1, or 0 where there is none. */
function collect(node: Branch | Leaf | undefined, request: NamedParts, found: Policy[]): number {
  if (node === undefined) return 0
  if ('policies' in node) {
    for (const policy of node.policies) if (fits(policy, node.untested, request)) found.push(policy)
    return 1
  }
  collect(node.any, request, found)
  const named = request[node.part]
  if (named.uid === undefined) {
    collectAll(node, named.type, request, found)
    return 1
  }
  const { uid, entity } = named
  if (node.byType !== undefined) collect(node.byType.get(uid.type), request, found)
  if (node.byEntity !== undefined) collect(node.byEntity.get(uid.key), request, found)
  if (node.byAncestor !== undefined) {
    let followed = collect(node.byAncestor.get(uid.key), request, found)
    for (const key of entity?.ancestors ?? []) followed += collect(node.byAncestor.get(key), request, found)
    // Policies that list several actions stand in several branches.
    if (followed > 1) removeDuplicates(found)
  }
  return 1
}

function collectAll(node: Branch, type: string | undefined, request: NamedParts, found: Policy[]): void {
  for (const [name, branch] of node.byType ?? []) if ((type ?? name) === name) collect(branch, request, found)
  for (const branch of node.byEntity?.values() ?? []) collect(branch, request, found)
  for (const branch of node.byAncestor?.values() ?? []) collect(branch, request, found)
  removeDuplicates(found)
}

function removeDuplicates(found: Policy[]): void {
  let kept = 0
  for (const policy of new Set(found)) found[kept++] = policy
  found.length = kept
}

function fits(policy: Policy, untested: readonly (keyof Scope)[], request: NamedParts): boolean {
  for (const part of untested) if (!matches(policy.scope[part], request[part])) return false
  return true
}

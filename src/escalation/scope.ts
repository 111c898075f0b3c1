import type { Intent } from '../decision/intent.ts'
import { contentHash } from '../durable/hash.ts'
import { bare } from '../identity/uid.ts'

/** What one action is, as far as an approval's scope can speak of it. */
export type Act = { intent: Intent; session?: string }

/**
 * What a standing approval covers beyond the action that it was given for. What isn't loosened here must be equal to
 * that action: the agent, its chain, the user, the action, and by default the resource and every other argument.
 */
export type Scope = {
  /** Only in this session. */
  session?: string
  /** One argument within a range, ends included. */
  range?: { argument: string; min?: number; max?: number }
  anyResource: boolean
  anyArguments: boolean
  /** Of the intent that it was given for, less what may differ. */
  like: string
}

/** What an approver asks for; `scopeOf` binds it to the action that they were shown. */
export type ScopeChoice = {
  session?: true
  range?: { argument: string; min?: number; max?: number }
  anyResource?: true
  anyArguments?: true
  /** How often. */
  uses: number
  /** Milliseconds from the approval on. */
  forMs: number
}

export const scopeOf = (choice: ScopeChoice, { intent, session }: Act): Scope => {
  const loose = {
    anyResource: choice.anyResource === true,
    anyArguments: choice.anyArguments === true,
    ...(choice.range && { range: choice.range }),
  }
  return {
    ...loose,
    ...(choice.session && session !== undefined && { session }),
    like: likeness(intent, loose),
  }
}

/** Why an action lies outside the scope, or undefined where it lies inside. */
export const outside = (scope: Scope, { intent, session }: Act): 'approval_mismatch' | 'out_of_scope' | undefined => {
  if (likeness(intent, scope) !== scope.like) return 'approval_mismatch'
  if (scope.session !== undefined && scope.session !== session) return 'out_of_scope'
  if (!scope.range) return undefined
  const { argument, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = scope.range
  const value = Object.hasOwn(intent.arguments, argument) ? intent.arguments[argument] : undefined
  return typeof value === 'number' && value >= min && value <= max ? undefined : 'out_of_scope'
}

const likeness = (
  { tenant, principals, action, resource, arguments: args }: Intent,
  { anyResource, anyArguments, range }: Omit<Scope, 'like' | 'session'>,
): string => {
  const { actor, chain, user } = principals
  const fixed = Object.entries(args).filter(([name]) => name !== range?.argument)
  return contentHash({
    tenant,
    actor: bare(actor),
    chain: chain.map(bare),
    user: user ? bare(user) : null,
    action,
    resource: anyResource ? { type: resource.type } : bare(resource),
    arguments: anyArguments ? null : Object.fromEntries(fixed),
  })
}

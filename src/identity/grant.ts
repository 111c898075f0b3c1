import * as v from 'valibot'
import { TypeName } from '../policy/tenant.ts'

/**
 * Authority for one task, as a token carries it: objects of a type of ours in `authorization_details` (RFC 9396). They
 * only ever narrow what policy permits. Objects that name the same `grant` are alternatives; different grants are joined
 * by AND, so that a child's grant can't widen its parent's.
 */

export const GRANT_TYPE = 'countersign_grant'

const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(256))
const Entity = v.strictObject({ type: TypeName, id: v.pipe(v.string(), v.maxLength(512)) })

/** One entity, all of a type, or what is below an entity (it included). */
const Resource = v.union([
  Entity,
  v.strictObject({ type: TypeName }),
  v.strictObject({ in: Entity, type: v.optional(TypeName) }),
])

/** What an argument must be; all of it. Values are written as an action's arguments are, by the schema's type. */
const Condition = v.pipe(
  v.strictObject({
    eq: v.optional(v.unknown()),
    /** One of these. */
    in: v.optional(v.pipe(v.array(v.unknown()), v.minLength(1), v.maxLength(64))),
    lt: v.optional(v.unknown()),
    lte: v.optional(v.unknown()),
    gt: v.optional(v.unknown()),
    gte: v.optional(v.unknown()),
    /** A text in which `*` stands for any characters. */
    like: v.optional(v.pipe(v.string(), v.maxLength(512))),
    /** A set of which every member is one of these. */
    within: v.optional(v.pipe(v.array(v.unknown()), v.maxLength(64))),
  }),
  v.check(condition => Object.keys(condition).length > 0, 'a condition says something'),
)
export type Condition = v.InferOutput<typeof Condition>

const Count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000_000))
const Amount = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))

export const GrantItem = v.strictObject({
  type: v.literal(GRANT_TYPE),
  /** Which grant it belongs to; by default all that name none are one. */
  grant: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]{0,63}$/))),
  /** Names of actions, or of groups of them. */
  actions: v.pipe(v.array(Name), v.minLength(1), v.maxLength(64)),
  /** By default any that the actions take. */
  resources: v.optional(v.pipe(v.array(Resource), v.minLength(1), v.maxLength(64))),
  arguments: v.optional(v.record(Name, Condition)),
  /** How often it may be used. */
  uses: v.optional(Count),
  /** How much of an argument may be spent in all. */
  budget: v.optional(v.strictObject({ argument: Name, total: Amount })),
  /** Seconds since the epoch. */
  expires_at: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
})
export type GrantItem = v.InferOutput<typeof GrantItem>

/** One leg of a decision: any of the items may permit. */
export type Grant = { id: string; items: readonly GrantItem[] }

/** Grants that one token may carry: one for each link of the longest chain. */
export const MAX_GRANTS = 8
/** Their objects together. */
export const MAX_ITEMS = 32
const Details = v.pipe(v.array(GrantItem), v.minLength(1), v.maxLength(MAX_ITEMS))

/**
 * The grants of a token. `counted`: whether its issuer may count, which is the Worker alone, since what is counted must
 * have been moved to the agent's object before. `undefined` where any of it isn't understood: then it can't be enforced.
 */
export const readGrants = (details: unknown, { counted }: { counted: boolean }): Grant[] | undefined => {
  const parsed = v.safeParse(Details, details)
  if (!parsed.success) return undefined
  const grants = new Map<string, GrantItem[]>()
  for (const item of parsed.output) {
    const id = item.grant ?? UNNAMED
    const items = grants.get(id)
    if (items) items.push(item)
    else grants.set(id, [item])
  }
  // What is counted has one account, so it is one object.
  const all = [...grants].map(([id, items]) => ({ id, items }))
  const counts = all.filter(({ items }) => items.some(isCounted))
  if (counts.length > (counted ? 1 : 0) || counts.some(({ items }) => items.length > 1)) return undefined
  return all.length <= MAX_GRANTS ? all : undefined
}

const UNNAMED = 'token'

export const isCounted = ({ uses, budget }: GrantItem): boolean => uses !== undefined || budget !== undefined

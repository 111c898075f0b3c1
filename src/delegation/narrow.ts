import type { Schema } from '../cedar/schema.ts'
import { type Grant, type GrantItem, isCounted, MAX_GRANTS, MAX_ITEMS } from '../identity/grant.ts'
import { actionsNamed, grantProblems } from '../identity/grant-policy.ts'
import { type Addition, beyond } from './beyond.ts'
import { type OAuthRefusal, oauthRefusal } from './refusal.ts'

export type Counters = { uses: number | null; amount: number | null }

/** What a delegation carries: the delegator's grants and its own, joined. */
export type Narrowed = {
  grants: Grant[]
  /** What the new purse holds, if the delegation counts anything. */
  purse?: Counters
  /** What of it leaves the delegator's purse. */
  slice?: Counters & { purse: string }
  /** What `grants` have beyond those of the delegator: not to be handed on before humans have allowed it. */
  added?: Addition[]
}

/**
 * Joins the authority that is asked for to the one that is there. Nothing is widened by itself: every grant of the
 * delegator stays, and must permit as well. Asking for an action that those don't cover, or for more than is counted out,
 * is told; where `widening` may be asked for, what is asked beyond them is told apart instead, as alternatives in each.
 */
export const narrow = (
  inherited: readonly Grant[],
  asked: readonly GrantItem[],
  id: string,
  schema: Schema,
  { widening = false } = {},
): Narrowed | OAuthRefusal => {
  for (const [index, item] of asked.entries()) {
    const [problem] = grantProblems(item, schema)
    if (problem) return details('malformed_request', `/${index}${problem.pointer}: ${problem.problem}`)
    const uncovered = item.actions.findIndex(name => !inherited.every(grant => covers(grant, name, schema)))
    if (uncovered >= 0 && !widening) return details('grant_widens', `/${index}/actions/${uncovered}`)
  }
  const counted = asked.find(isCounted)
  if (counted && asked.length > 1)
    return details('malformed_request', 'what counts uses or a budget is a single object')
  const paid = slice(inherited, counted)
  if (paid && 'error' in paid) return paid
  const added = widening ? inherited.map(grant => beyond(asked, uncounted(grant), schema)) : []
  const wider = inherited.map(uncounted).map((grant, index): Grant => {
    const { items = [] } = added[index] ?? {}
    return { ...grant, items: [...grant.items, ...items] }
  })
  const grants = [...wider, ...(asked.length > 0 ? [{ id, items: asked }] : [])]
  if (grants.length > MAX_GRANTS) return details('grant_widens', `more than ${MAX_GRANTS} grants would be joined`)
  if (grants.flatMap(({ items }) => items).length > MAX_ITEMS)
    return details('grant_widens', `the grants would have more than ${MAX_ITEMS} objects`)
  const beyondThose = added.filter(({ items }) => items.length > 0)
  return {
    grants,
    ...(beyondThose.length > 0 && { added: beyondThose }),
    ...(counted && { purse: { uses: counted.uses ?? null, amount: counted.budget?.total ?? null } }),
    ...(paid && { slice: paid }),
  }
}

const details = (reason: 'malformed_request' | 'grant_widens' | 'grant_uncounted', detail: string): OAuthRefusal =>
  oauthRefusal('invalid_authorization_details', reason, detail)

const covers = ({ items }: Grant, name: string, schema: Schema): boolean => {
  const granted = new Set(
    items.flatMap(item => item.actions.flatMap(action => actionsNamed(action, schema).map(({ uid }) => uid.key))),
  )
  return actionsNamed(name, schema).every(({ uid }) => granted.has(uid.key))
}

/** What is counted there must be counted here: how much goes over is said, never shared. */
const slice = (
  inherited: readonly Grant[],
  counted: GrantItem | undefined,
): (Counters & { purse: string }) | OAuthRefusal | undefined => {
  for (const { id, items } of inherited) {
    const source = items.find(isCounted)
    if (!source) continue
    if (source.uses !== undefined && counted?.uses === undefined)
      return details('grant_uncounted', 'say how many uses go to the child')
    if (source.budget && counted?.budget?.argument !== source.budget.argument)
      return details('grant_uncounted', `say how much of the budget of ${source.budget.argument} goes to the child`)
    return {
      purse: id,
      uses: source.uses === undefined ? null : (counted?.uses ?? null),
      amount: source.budget ? (counted?.budget?.total ?? null) : null,
    }
  }
  return undefined
}

/** The terms stay; what was counted has been moved to the child's own purse. */
const uncounted = ({ id, items }: Grant): Grant => ({
  id,
  items: items.map(({ uses: _, budget, ...item }) => item),
})

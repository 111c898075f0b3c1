import type { BudgetObject } from '../budget/object.ts'
import type { DecideCall, DecideItem, DecideReply } from './calls/decide.ts'
import { type Asked, decide, stopsAt } from './decide.ts'
import { type Dry, sharedMeters } from './leases.ts'
import type { AgentObject } from './object.ts'
import { provide } from './outlook.ts'
import { askRoot, hangsOnTree } from './tree.ts'

type Others = { budgets: DurableObjectNamespace<BudgetObject>; agents: DurableObjectNamespace<AgentObject>; dry: Dry }

/** Whether an item spends from budgets that the agent shares, or hangs on the whole tree of its session. */
export const asksOthers = (storage: DurableObjectStorage, item: DecideItem): boolean =>
  sharedMeters(item.program).length > 0 || hangsOnTree(storage, item.program, item.step?.session)

/**
 * Settles a call of which some items ask others: what the agent doesn't hold enough of it borrows first, and what the tree
 * knows it asks its root, so these take a second call. What was borrowed and isn't needed after all goes back when its
 * lease ends. Who can't be reached isn't asked again in the same call, and all that would ask anybody goes undecided: the
 * call's own deadline wouldn't wait for more, and what is decided must be answered.
 */
export const decideAsking = async (
  storage: DurableObjectStorage,
  chain: string,
  call: DecideCall,
  others: Others,
  clock: () => number,
): Promise<DecideReply> => {
  const reply: DecideReply = []
  let lost = false
  for (const item of call.items) {
    const asks = asksOthers(storage, item)
    const asked: Asked | undefined = asks && !lost ? await askedOf(storage, call, item, others, clock) : undefined
    lost ||= asks && !asked
    const answers: DecideReply =
      asks && !asked ? [{ kind: 'untold' }] : decide(storage, chain, { ...call, items: [item] }, clock, asked)
    reply.push(...answers)
    if (answers.some(answer => stopsAt(answer, call.stop))) break
  }
  return reply
}

/** `undefined` where somebody couldn't be reached: what there is or is known is not known then, and nothing may be allowed. */
const askedOf = async (
  storage: DurableObjectStorage,
  call: DecideCall,
  item: DecideItem,
  others: Others,
  clock: () => number,
): Promise<Asked | undefined> => {
  try {
    const root = await askRoot(storage, others.agents, [item.program], item.step?.session)
    return { root, waits: await provide(storage, call, item, { ...others, root }, clock) }
  } catch (error) {
    console.warn(`${item.evaluationId}: others could not be asked: ${error}`)
    return undefined
  }
}

import type { EntityUid } from '../cedar/json.ts'
import type { CedarRecord, Value } from '../cedar/value.ts'
import { sha256 } from '../durable/hash.ts'
import { nameOf } from '../durable/names.ts'
import type { Meter } from '../settle/program.ts'
import { type Limit, nameOfBudget, type RuleMeta } from './annotations.ts'
import type { Budget } from './budget.ts'

/** Who acts, does what, to what: the entities that a meter may be kept per. */
export type MeterOf = {
  agent: EntityUid
  action: EntityUid
  resource: EntityUid
  user?: EntityUid | undefined
  tenant: string
  /** The groups of a type that the agent is in. */
  groupsOf: (type: string) => EntityUid[]
  context: CedarRecord
}

/**
 * The meters of a rule that matched. A key is made of the policy's id, the annotation with its window, and the entity,
 * so a push refills nothing: neither a new bundle nor another capacity starts a bucket afresh. `undefined` where a
 * budget's argument is no amount: a negative one would give back what others have spent.
 */
export const metersOf = (rule: RuleMeta, of: MeterOf): Meter[] | undefined => {
  const limits = rule.limits.map(limit => limitMeter(rule.id, limit, of))
  const budgets: Meter[] = []
  for (const budget of rule.budgets) {
    const cost = budget.argument ? amountAt(of.context, ['arguments', ...budget.argument]) : 1
    if (cost === undefined) return undefined
    budgets.push(...budgetMeters(rule.id, budget, of, cost))
  }
  return [...limits, ...budgets]
}

const limitMeter = (policy: string, { capacity, windowMs, per, sliding }: Limit, of: MeterOf): Meter => {
  const { type, id } = of[per]
  const key = sha256(JSON.stringify([policy, sliding ? 'sliding' : 'limit', windowMs, per, type, id]))
  return sliding
    ? { kind: 'window', key, capacity, window: { kind: 'sliding', ms: windowMs }, cost: 1, budget: false }
    : { kind: 'limit', key, capacity, windowMs, cost: 1 }
}

const budgetMeters = (policy: string, budget: Budget, of: MeterOf, cost: number): Meter[] =>
  holdersOf(budget, of).map(({ type, id, shared }): Meter => {
    const key = sha256(JSON.stringify([policy, 'budget', nameOfBudget(budget), type, id]))
    const { capacity, window } = budget
    const meter = { kind: 'window', key, capacity, window, cost, budget: true } as const
    return shared ? { ...meter, shared: nameOf('budget', of.tenant, key) } : meter
  })

type Holder = EntityUid & { shared: boolean }

/** Whom a budget is kept for. An agent that acts for nobody, or is in no such group, has one of its own. */
const holdersOf = ({ per }: Budget, of: MeterOf): Holder[] => {
  const own = { ...of.agent, shared: false }
  if (per === 'tenant') return [{ type: 'tenant', id: of.tenant, shared: true }]
  if (per === 'user') return of.user ? [{ ...of.user, shared: true }] : [own]
  if (typeof per !== 'object') return [{ ...of[per], shared: false }]
  const groups = of.groupsOf(per.group)
  return groups.length > 0 ? groups.map(group => ({ ...group, shared: true })) : [own]
}

const amountAt = (record: CedarRecord, path: readonly string[]): number | undefined => {
  let value: Value | undefined = record
  for (const name of path) {
    value = typeof value === 'object' && value.kind === 'record' ? value.fields.get(name) : undefined
  }
  const amount = typeof value === 'bigint' || typeof value === 'number' ? Number(value) : undefined
  return amount !== undefined && Number.isSafeInteger(amount) && amount >= 0 ? amount : undefined
}

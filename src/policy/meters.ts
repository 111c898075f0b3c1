import type { EntityUid } from '../cedar/json.ts'
import { sha256 } from '../durable/hash.ts'
import type { Meter } from '../settle/program.ts'
import type { Limit, RuleMeta } from './annotations.ts'

/** Who acts, does what, to what: the entities that a meter may be kept per. */
export type MeterOf = { agent: EntityUid; action: EntityUid; resource: EntityUid }

/**
 * The meters of a rule that matched. A key is made of the policy's id, the annotation with its window, and the entity,
 * so a push refills nothing: neither a new bundle nor another capacity starts a bucket afresh.
 */
export const metersOf = (rule: RuleMeta, of: MeterOf): Meter[] => rule.limits.map(limit => meterOf(rule.id, limit, of))

const meterOf = (policy: string, { capacity, windowMs, per }: Limit, of: MeterOf): Meter => {
  const { type, id } = of[per]
  return {
    kind: 'limit',
    key: sha256(JSON.stringify([policy, 'limit', windowMs, per, type, id])),
    capacity,
    windowMs,
    cost: 1,
  }
}

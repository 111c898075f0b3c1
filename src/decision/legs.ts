import type { EntityUid } from '../cedar/json.ts'
import { evaluatePartially } from '../cedar/partial.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { metersOf } from '../policy/meters.ts'
import type { Leg, Program, Rule } from '../settle/program.ts'
import { grantLegs } from './grant-legs.ts'
import { unmetIn } from './requirements.ts'
import type { Truth } from './truth.ts'
import type { What } from './what.ts'
import type { Who } from './who.ts'

/**
 * Evaluates for each principal of the chain, everything else being equal, and for each grant: what is left goes to the
 * agent's object.
 */
export const programOf = (who: Who, what: What, bundle: LoadedBundle, truth?: Truth, now = 0): Program => {
  const { actor } = who.principals
  const judging = { what, bundle, truth, now }
  const legs = judgedOf(who, bundle).map(uid => legOf(uid, actor, judging))
  return { v: 1, legs: [...legs, ...grantLegs(who.grants, actor, what, bundle.schema, now)], absentDuties: [] }
}

/** The principals that must be permitted, each for itself. */
export const judgedOf = ({ principals: { actor, chain, user } }: Who, bundle: LoadedBundle): EntityUid[] => [
  actor,
  ...chain,
  ...(user && bundle.settings.judge_user ? [user] : []),
]

/** What one evaluation is made of, beside the principal. */
export type Judging = { what: What; bundle: LoadedBundle; truth: Truth | undefined; now: number }

const legOf = (principal: EntityUid, agent: EntityUid, judging: Judging): Leg => {
  const { what, bundle } = judging
  const { action, resource, context, entities } = what
  const { permit, forbid } = evaluatePartially(bundle.policies, { principal, action, resource, context }, entities)
  const rule = (policy: string, when: Rule['when'] = true): Rule => {
    const meta = bundle.rules.get(policy)
    if (!meta) throw new Error(`policy ${policy} has no annotations`)
    const meters = metersOf(meta, { agent, action, resource })
    const { escalate, textHash } = meta
    return { policy, when, meters, ...(escalate !== undefined && { liftable: { group: escalate, textHash } }) }
  }
  const rules = ({ satisfied, residual }: typeof permit): Rule[] => [
    ...satisfied.map(policy => rule(policy)),
    ...residual.map(({ policyId, unknowns, expr }) => rule(policyId, { unknowns: [...unknowns], residual: expr })),
  ]
  const unmet = unmetIn(principal, judging)
  const met = ({ policy }: Rule) => !unmet.has(policy)
  const open = (effect: 'permit' | 'forbid') =>
    [...unmet].flatMap(([policy, when]) =>
      when && bundle.policies.get(policy)?.effect === effect ? [rule(policy, when)] : [],
    )
  return {
    of: { kind: 'principal', uid: principal },
    permits: [...rules(permit).filter(met), ...open('permit')],
    forbids: [
      ...rules(forbid).filter(met),
      ...open('forbid'),
      // Cedar passes over a forbid that errs; here it counts, and nothing lifts it.
      ...forbid.errored.map(({ policyId }): Rule => ({ policy: policyId, when: true, error: true, meters: [] })),
    ],
  }
}

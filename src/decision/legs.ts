import { ancestorsOf } from '../cedar/entities.ts'
import type { EntityUid } from '../cedar/json.ts'
import { evaluatePartially } from '../cedar/partial.ts'
import { type RuleMeta, rewrites } from '../policy/annotations.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { type MeterOf, metersOf } from '../policy/meters.ts'
import { type Leg, type Program, type Rule, SESSION } from '../settle/program.ts'
import { dutiesOf, type Said } from './duties.ts'
import { grantLegs } from './grant-legs.ts'
import type { Truth } from './known.ts'
import { type Judging, unmetIn } from './requirements.ts'
import type { What } from './what.ts'
import type { Who } from './who.ts'

/**
 * Evaluates for each principal of the chain, everything else being equal, and for each grant: what is left goes to the
 * agent's object.
 */
export const programOf = (who: Who, what: What, said: Said, bundle: LoadedBundle, truth?: Truth, now = 0): Program => {
  const of = meterOf(who, what, bundle)
  const judging = { what, bundle, truth, now }
  const legs = judgedOf(who, bundle).map(uid => legOf(uid, of, said, judging))
  const tree = legs.some(({ permits, forbids }) =>
    [...permits, ...forbids].some(({ when }) => when !== true && when.tree),
  )
  return { v: tree ? 2 : 1, legs: [...legs, ...grantLegs(who.grants, who.principals.actor, what, bundle.schema, now)] }
}

/** Whom meters are kept for. */
export const meterOf = ({ principals: { actor, user } }: Who, what: What, { tenant }: LoadedBundle): MeterOf => ({
  agent: actor,
  user,
  tenant,
  action: what.action,
  resource: what.resource,
  context: what.context,
  groupsOf: type => ancestorsOf(actor, what.entities).filter(group => group.type === type),
})

/** The principals that must be permitted, each for itself. */
export const judgedOf = ({ principals: { actor, chain, user } }: Who, bundle: LoadedBundle): EntityUid[] => [
  actor,
  ...chain,
  ...(user && bundle.settings.judge_user ? [user] : []),
]

const legOf = (principal: EntityUid, of: MeterOf, said: Said, judging: Judging): Leg => {
  const { what, bundle } = judging
  const { action, resource, context, entities } = what
  const { permit, forbid } = evaluatePartially(bundle.policies, { principal, action, resource, context }, entities)
  const rule = (policy: string, left: Rule['when'] = true): Rule => {
    const meta = bundle.rules.get(policy)
    if (!meta) throw new Error(`policy ${policy} has no annotations`)
    const tree = meta.tree && left !== true && left.unknowns.includes(SESSION)
    const when = tree ? { ...left, tree } : left
    const meters = metersOf(meta, of)
    const duties = dutiesOf(meta, said)
    const { escalate, textHash } = meta
    return {
      policy,
      when,
      meters: meters ?? [],
      ...(!meters && { error: true }),
      ...(duties && { duties }),
      ...(escalate !== undefined && { liftable: { group: escalate, textHash } }),
    }
  }
  const rules = ({ satisfied, residual }: typeof permit): Rule[] => [
    ...satisfied.map(policy => rule(policy)),
    ...residual.map(({ policyId, unknowns, expr }) => rule(policyId, { unknowns: [...unknowns], residual: expr })),
  ]
  const unmet = unmetIn(principal, judging)
  const met = ({ policy, when }: Rule) => !unmet.has(policy) && !rewritesBlindly(bundle.rules.get(policy), when)
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

/** What it rewrites is applied before the object knows whether it holds in the session, so it can't be used then. */
const rewritesBlindly = (meta: RuleMeta | undefined, when: Rule['when']): boolean =>
  meta !== undefined && rewrites(meta) && when !== true && when.unknowns.includes(SESSION)

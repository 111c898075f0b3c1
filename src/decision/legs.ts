import { evaluate } from '../cedar/evaluate.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { metersOf } from '../policy/meters.ts'
import type { Leg, Program, Rule } from '../settle/program.ts'
import type { What } from './what.ts'
import type { Who } from './who.ts'

/** Evaluates for each principal of the chain, everything else being equal: what is left goes to the agent's object. */
export const programOf = ({ principals }: Who, what: What, bundle: LoadedBundle): Program => {
  const { actor, chain, user } = principals
  const judged = [actor, ...chain, ...(user && bundle.settings.judge_user ? [user] : [])]
  return { v: 1, legs: judged.map(uid => legOf(uid, actor, what, bundle)), absentDuties: [] }
}

const legOf = (principal: EntityUid, agent: EntityUid, what: What, bundle: LoadedBundle): Leg => {
  const { action, resource, context, entities } = what
  const { permit, forbid } = evaluate(bundle.policies, { principal, action, resource, context }, entities)
  const open = [...permit.unknown, ...forbid.unknown]
  if (open.length > 0) throw new Error(`no request holds unknowns yet, and ${open.join(', ')} met one`)
  const rule = (policy: string): Rule => {
    const meta = bundle.rules.get(policy)
    if (!meta) throw new Error(`policy ${policy} has no annotations`)
    const meters = metersOf(meta, { agent, action, resource })
    const { escalate, textHash } = meta
    return { policy, when: true, meters, ...(escalate !== undefined && { liftable: { group: escalate, textHash } }) }
  }
  return {
    of: { kind: 'principal', uid: principal },
    permits: permit.satisfied.map(rule),
    forbids: [
      ...forbid.satisfied.map(rule),
      // Cedar passes over a forbid that errs; here it counts, and nothing lifts it.
      ...forbid.errored.map(({ policyId }): Rule => ({ policy: policyId, when: true, error: true, meters: [] })),
    ],
  }
}

import { escalationOf, groupsOf } from '../../policy/escalation.ts'
import { nearest } from '../../policy/near.ts'
import type { Tenant } from '../../policy/tenant.ts'
import { type Diagnostic, error } from './diagnostic.ts'
import type { WrittenPolicy } from './policies.ts'

/** Approver groups that policies name and tenant.json doesn't have. */
export const unknownGroups = (policies: Iterable<WrittenPolicy>, { approvers }: Tenant): Diagnostic[] =>
  [...policies].flatMap(({ id, rule, placeOf }) => {
    const terms = escalationOf(rule)
    return (terms ? groupsOf(terms) : [])
      .filter(group => !Object.hasOwn(approvers, group))
      .map(group => {
        const meant = nearest(group, Object.keys(approvers))
        const hint = meant === undefined ? 'add it to `approvers`' : `did you mean ${meant}?`
        return error(`tenant.json has no approver group ${group}`, { policy: id, place: placeOf(), hint })
      })
  })

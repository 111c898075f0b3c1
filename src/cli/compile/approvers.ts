import type { EntityJson } from '../../cedar/json.ts'
import { uidText } from '../../identity/uid.ts'
import { escalationOf, groupsOf } from '../../policy/escalation.ts'
import { nearest } from '../../policy/near.ts'
import type { Tenant } from '../../policy/tenant.ts'
import { type Diagnostic, error, warning } from './diagnostic.ts'
import type { WrittenPolicy } from './policies.ts'
import type { Place } from './source-text.ts'

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

/** Groups that the bundle's entities don't have: nobody is in them, so nobody may answer. */
export const emptyGroups = (
  { approvers }: Tenant,
  entities: readonly EntityJson[],
  placeOf: (pointer: string) => Place,
): Diagnostic[] => {
  const parents = entities.flatMap(entity => entity.parents.map(uid => uidText('__entity' in uid ? uid.__entity : uid)))
  return Object.entries(approvers)
    .filter(([, { entity }]) => !parents.includes(uidText(entity)))
    .map(([group, { entity }]) =>
      warning(`nobody may answer for ${group}: no entity is in ${uidText(entity)}`, {
        place: placeOf(`/approvers/${group}/entity`),
        hint: 'entities.json says who is in what',
      }),
    )
}

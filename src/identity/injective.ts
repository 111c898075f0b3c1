import type { Issuer, Mapping } from '../policy/tenant.ts'

/** Two places of the issuers' list (JSON pointers into it) that could give two callers one name. */
export type Conflict = { pointers: [string, string]; problem: string }

/**
 * Everything that keeps the issuers' mappings from being injective: none, and two different (iss, sub) never get the
 * same entity UID. One subject may have several UIDs. Development issuers name UIDs outright and are outside the proof.
 */
export const conflicts = (issuers: readonly Issuer[]): Conflict[] => {
  const mapped = rulesOf(issuers)
  return [
    ...repeated(issuers, 'iss'),
    ...repeated(issuers, 'id'),
    ...pairs(mapped).flatMap(([a, b]) => {
      // A person who answers may well be a user that agents act for: only so can they be kept from their own requests.
      const problem = a.rule.type === b.rule.type && a.answers === b.answers ? collision(a, b) : undefined
      return problem === undefined ? [] : [{ pointers: [a.pointer, b.pointer] as [string, string], problem }]
    }),
  ]
}

type Placed = { pointer: string; issuer: number; rule: Mapping; answers: boolean }

const rulesOf = (issuers: readonly Issuer[]): Placed[] =>
  issuers.flatMap((entry, issuer) =>
    (['agent', 'user', 'approver'] as const).flatMap(role => {
      const rule = entry[role]
      const answers = role === 'approver'
      return rule && !entry.development ? [{ pointer: `/${issuer}/${role}`, issuer, rule, answers }] : []
    }),
  )

/** Each rule with itself too: a list of ids can collide within itself. */
const pairs = <T>(items: readonly T[]): [T, T][] => items.flatMap((a, i) => items.slice(i).map((b): [T, T] => [a, b]))

/** How two rules of one entity type could meet. `same` says that both read the same subject, so no harm is done. */
const collision = (a: Placed, b: Placed): string | undefined => {
  const same = a.issuer === b.issuer
  if (a.rule.ids && b.rule.ids) return idsMeet(a.rule.ids, b.rule.ids, same)
  if (a.rule.ids) return idsMeetPrefix(a.rule.ids, b.rule.prefix, same)
  if (b.rule.ids) return idsMeetPrefix(b.rule.ids, a.rule.prefix, same)
  if (same && a.rule.prefix === b.rule.prefix) return undefined
  const meet = a.rule.prefix.startsWith(b.rule.prefix) || b.rule.prefix.startsWith(a.rule.prefix)
  return meet ? `prefix ${text(a.rule.prefix)} and prefix ${text(b.rule.prefix)}: one begins with the other` : undefined
}

const idsMeet = (a: Record<string, string>, b: Record<string, string>, same: boolean): string | undefined => {
  for (const [sub, id] of Object.entries(a))
    for (const [otherSub, otherId] of Object.entries(b))
      if (id === otherId && !(same && sub === otherSub))
        return `${text(sub)} and ${text(otherSub)} are both mapped to ${text(id)}`
  return undefined
}

const idsMeetPrefix = (ids: Record<string, string>, prefix: string, same: boolean): string | undefined => {
  for (const [sub, id] of Object.entries(ids))
    if (id.startsWith(prefix) && !(same && id === prefix + sub))
      return `the id ${text(id)} begins with the prefix ${text(prefix)}`
  return undefined
}

const repeated = (issuers: readonly Issuer[], member: 'iss' | 'id'): Conflict[] =>
  pairs(issuers.map((entry, index) => ({ value: entry[member], pointer: `/${index}/${member}` })))
    .filter(([a, b]) => a !== b && a.value === b.value)
    .map(([a, b]) => ({ pointers: [a.pointer, b.pointer], problem: `two issuers have the ${member} ${text(a.value)}` }))

const text = (value: string): string => JSON.stringify(value)

import type { Found } from '../agent/calls/questions.ts'
import type { EntityUid } from '../cedar/json.ts'
import type { Ask } from '../decision/ask.ts'
import type { Caller } from '../identity/caller.ts'
import type { LoadedBundle } from '../policy/load.ts'
import { idsOf } from './entities.ts'
import type { Query } from './query.ts'

/** One thing that a search may come to, and the action that says whether it does. */
export type Candidate = { result: Found; ask: Ask }

/** All that may answer a query, in an order that is the bundle's own. Made one by one: most pages need few of them. */
export const candidates = (
  query: Query,
  caller: Caller,
  bundle: LoadedBundle,
): { length: number; at: (index: number) => Candidate | undefined } => {
  const { context } = query
  const rest = { ...(context && { context }) }
  const over = <T>(all: readonly T[], candidate: (item: T) => Candidate) => ({
    length: all.length,
    at: (index: number) => {
      const item = all[index]
      return item === undefined ? undefined : candidate(item)
    },
  })
  switch (query.of) {
    case 'resource': {
      const { subject, action, resource } = query
      const ids = idsOf(resource.type, bundle)
      return over(ids, id => {
        const result = { type: resource.type, id }
        return { result, ask: { subject, action, resource: result, ...rest } }
      })
    }
    case 'subject': {
      const { subject, action, resource } = query
      return over(subjectsOf(subject.type, caller, bundle), result => ({
        result,
        ask: { subject: result, action, resource, ...rest },
      }))
    }
    case 'action': {
      const { subject, resource } = query
      const names = [...bundle.schema.actions.values()]
        .filter(({ principals }) => principals.length > 0)
        .map(({ uid }) => uid.id)
      return over(names, name => ({ result: { name }, ask: { subject, action: { name }, resource, ...rest } }))
    }
  }
}

/** An agent searches among itself and the user that it acts for, a PEP among all. */
const subjectsOf = (type: string, { roles, principals }: Caller, bundle: LoadedBundle): EntityUid[] => {
  if (roles.includes('pep')) return idsOf(type, bundle).map(id => ({ type, id }))
  const own = [principals?.actor, principals?.user].filter(uid => uid !== undefined)
  return own.filter(uid => uid.type === type).map(({ id }) => ({ type, id }))
}

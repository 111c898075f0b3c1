import type { DecideCall } from '../agent/calls/decide.ts'
import type { Caller } from '../identity/caller.ts'
import { type Lineage, lineageOf } from '../identity/lineage.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Call } from './call.ts'
import type { Who } from './who.ts'

/** What a call to an agent's object says of where the caller's authority comes from. A PEP speaks of others. */
export const lineageIn = ({ lineage, roles }: Caller): Pick<DecideCall, 'lineage'> =>
  lineage && !roles.includes('pep') ? { lineage } : {}

/** Looks up whether anything was taken away that an authority comes from. */
export type Taken = (lineage: Lineage, bundle: LoadedBundle) => Promise<'no' | 'yes' | 'unknown'>

/**
 * Whether anything was taken away that the authority comes from which a PEP states. Nobody says when that was issued, so
 * what events took until some time isn't meant.
 */
export const takenFrom = async (
  { asserts, principals }: Who,
  { bundle, edge }: Pick<Call, 'bundle' | 'edge'>,
  { taken }: { taken: Taken },
): Promise<Call['taken']> => {
  if (!asserts || !principals.user) return undefined
  const found = await taken(lineageOf(principals, [], edge.now), bundle)
  return found === 'no' ? undefined : found
}

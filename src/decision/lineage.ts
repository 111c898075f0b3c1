import type { DecideCall } from '../agent/call.ts'
import type { Caller } from '../identity/caller.ts'

/** What a call to an agent's object says of where the caller's authority comes from. A PEP speaks of others. */
export const lineageIn = ({ lineage, roles }: Caller): Pick<DecideCall, 'lineage'> =>
  lineage && !roles.includes('pep') ? { lineage } : {}

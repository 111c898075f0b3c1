import type { Epoch } from './calls/kills.ts'
import { isKilled, sessionTarget } from './kills.ts'
import type { readSession } from './session.ts'
import type { Root } from './tree.ts'

/** What stops a call before any policy is asked, beside the agent's own suspension. */
export const stoppedBy = (
  storage: DurableObjectStorage,
  {
    taken,
    epoch,
    known,
    targets = [],
    session,
    linked,
    root,
  }: {
    taken: boolean
    /** What the Worker told, and what is known here if that was read already. */
    epoch?: Epoch
    known?: Epoch
    targets?: readonly string[] | undefined
    session: ReturnType<typeof readSession>
    linked?: true | undefined
    root?: Root | undefined
  },
): 'revoked' | 'killed' | 'session_tampered' | 'session_unlinked' | undefined => {
  if (taken) return 'revoked'
  const tampered = session === 'tampered'
  const line = tampered ? [] : (session?.line ?? [])
  // whoever stops a session stops what comes from it
  if (isKilled(storage, epoch, [...targets, ...line.map(place => sessionTarget(place.session))], known)) return 'killed'
  const lost = root && 'lost' in root ? root.lost : undefined
  if (tampered || lost === 'tampered') return 'session_tampered'
  return (linked && line.length === 0) || lost ? 'session_unlinked' : undefined
}

import type { Epoch } from './call.ts'
import { isKilled } from './kills.ts'
import type { readSession } from './session.ts'

/** What stops a call before any policy is asked, beside the agent's own suspension. */
export const stoppedBy = (
  storage: DurableObjectStorage,
  {
    taken,
    epoch,
    known,
    targets = [],
    session,
  }: {
    taken: boolean
    /** What the Worker told, and what is known here if that was read already. */
    epoch?: Epoch
    known?: Epoch
    targets?: string[] | undefined
    session: ReturnType<typeof readSession>
  },
): 'revoked' | 'killed' | 'session_tampered' | undefined => {
  if (taken) return 'revoked'
  if (isKilled(storage, epoch, targets, known)) return 'killed'
  return session === 'tampered' ? 'session_tampered' : undefined
}

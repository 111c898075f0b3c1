import { withDeadline } from '../durable/deadline.ts'
import type { DecideItem } from './calls/decide.ts'
import type { Place } from './calls/sessions.ts'
import type { AgentObject } from './object.ts'
import { isOwn, readSession, type Session } from './session.ts'

/**
 * What all the sessions of a tree know together. Everything that was answered in it was told to its root before, so the
 * root is asked, and no one else.
 */

/** The session at the root of the tree, as it was when it was asked. */
export type Root = Place & Known

type Known = Pick<Session, 'seq' | 'hash' | 'state'> | { lost: 'tampered' | 'forgotten' }

/** Whether an item hangs on what the whole tree of its session knows, and this isn't the root, which knows it. */
export const hangsOnTree = (storage: DurableObjectStorage, { program, step }: DecideItem): boolean => {
  const hangs = program.legs.some(({ permits, forbids }) =>
    [...permits, ...forbids].some(({ when }) => when !== true && when.tree),
  )
  return hangs && step !== undefined && !isOwn(storage, step.session) && rootPlace(storage, step.session) !== undefined
}

/** Asks the root what it knows. Throws where it can't be reached: then nothing that hangs on it may be allowed. */
export const askRoot = async (
  storage: DurableObjectStorage,
  agents: DurableObjectNamespace<AgentObject>,
  item: DecideItem,
): Promise<Root | undefined> => {
  const place = item.step && hangsOnTree(storage, item) ? rootPlace(storage, item.step.session) : undefined
  if (!place) return undefined
  const { object, session } = place
  const known = await withDeadline<Known>(agents.getByName(object).remembered({ v: 1, session }), DEADLINE_MS)
  return { ...place, ...known }
}

const DEADLINE_MS = 1_500

/** What a session knows, for those below it. */
export const remembered = (storage: DurableObjectStorage, id: string): Known => {
  const session = readSession(storage, id)
  if (!session) return { lost: 'forgotten' }
  if (session === 'tampered') return { lost: 'tampered' }
  const { seq, hash, state } = session
  return { seq, hash, state }
}

/** Where a line was tampered with, the session is found to be so before anything is decided. */
const rootPlace = ({ sql }: DurableObjectStorage, id: string): Place | undefined => {
  const [row] = sql.exec<{ line: string | null }>('SELECT line FROM session WHERE id = ?', id)
  const line: Place[] = row?.line ? JSON.parse(row.line) : []
  return line.at(-1)
}

import { withDeadline } from '../durable/deadline.ts'
import type { Program } from '../settle/program.ts'
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

/** Whether a program hangs on what the whole tree of the session knows, and this isn't the root, which knows it. */
export const hangsOnTree = (storage: DurableObjectStorage, program: Program, session: string | undefined): boolean =>
  asksTree(program) && rootPlace(storage, session) !== undefined

const asksTree = ({ legs }: Program): boolean =>
  legs.some(({ permits, forbids }) => [...permits, ...forbids].some(({ when }) => when !== true && when.tree))

/**
 * Asks the root what it knows, where one of the programs hangs on it. Throws where it can't be reached: then nothing that
 * hangs on it may be allowed.
 */
export const askRoot = async (
  storage: DurableObjectStorage,
  agents: DurableObjectNamespace<AgentObject>,
  programs: readonly Program[],
  session: string | undefined,
): Promise<Root | undefined> => {
  const place = programs.some(asksTree) ? rootPlace(storage, session) : undefined
  if (!place) return undefined
  const { object, session: rooted } = place
  const known = await withDeadline<Known>(agents.getByName(object).remembered({ v: 1, session: rooted }), DEADLINE_MS)
  return { ...place, ...known }
}

/** By which head of the root's session it can be said later what an answer knew of the tree. */
export const treeHead = (root: Root | undefined): { tree?: { agent: string; seq: number; hash: string } } =>
  root && !('lost' in root) ? { tree: { agent: root.agent, seq: root.seq, hash: root.hash } } : {}

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
const rootPlace = (storage: DurableObjectStorage, id: string | undefined): Place | undefined => {
  if (id === undefined || isOwn(storage, id)) return undefined
  const [row] = storage.sql.exec<{ line: string | null }>('SELECT line FROM session WHERE id = ?', id)
  const line: Place[] = row?.line ? JSON.parse(row.line) : []
  return line.at(-1)
}

import { type CedarRecord, recordOf, setOf } from '../cedar/value.ts'
import { contentHash } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import type { Step } from './calls/decide.ts'
import type { Inheritance, Place, ToldCall } from './calls/sessions.ts'
import { afterStep, beginning, isFull, joined, type News, newsBetween, type SessionState } from './session-state.ts'

export type Session = {
  seq: number
  hash: string
  state: SessionState
  /** The sessions that it comes from, nearest first, where another agent's task began it. */
  line?: Place[]
}

/** A step as it is kept. Its hash covers the one before, the state that it led to, and where the session comes from. */
export type StoredStep = { seq: number; prev: string; hash: string; entry: string }

/** What a step is: an action that was allowed, a task handed on, or what was learned from the session above or below. */
type Entry = { at: number } & (
  | (Step & { evaluationId: string })
  | { handed_on: Place }
  | { inherited: Inheritance }
  | { told: { by: ToldCall['from']; news: News } }
)

/** `tampered` where the state isn't what the last step led to. */
export const readSession = (storage: DurableObjectStorage, id: string): Session | 'tampered' | undefined => {
  const [row] = storage.sql
    .exec(
      `SELECT session.seq, session.hash, state, line, prev, entry FROM session
       LEFT JOIN session_step ON session_step.id = session.id AND session_step.seq = session.seq
       WHERE session.id = '' || ?`,
      id,
    )
    .raw<StoredSession>()
  return row && sessionIn(storage, id, row)
}

/** What is stored of a session, and of its last step. */
export type StoredSession = [
  seq: number | null,
  hash: string | null,
  state: string | null,
  line: string | null,
  prev: string | null,
  entry: string | null,
]

export const sessionIn = (
  storage: DurableObjectStorage,
  id: string,
  [seq, hash, state, line, prev, entry]: StoredSession,
): Session | 'tampered' | undefined => {
  if (seq === null || hash === null || state === null) return undefined
  if (prev === null || entry === null) return 'tampered'
  const known = proven.get(storage)
  if (known && isSame(known.text, { id, seq, hash, prev, entry, state, line })) return known.session
  const content = contentOf({ state, line })
  return content && linkHash(id, { seq, prev, entry }, content) === hash ? { seq, hash, ...content } : 'tampered'
}

/** By object, the last link that it made: a session that is still the very same needn't be hashed again. */
const proven = new WeakMap<DurableObjectStorage, { session: Session; text: SessionText }>()
type SessionText = StoredStep & { id: string; state: string; line: string | null }

/** Whether it is known without looking that a session comes from no other. */
export const isOwn = (storage: DurableObjectStorage, id: string): boolean => {
  const known = proven.get(storage)
  return known?.text.id === id && known.text.line === null
}

const isSame = (a: SessionText, b: SessionText): boolean =>
  a.hash === b.hash &&
  a.state === b.state &&
  a.line === b.line &&
  a.entry === b.entry &&
  a.prev === b.prev &&
  a.seq === b.seq &&
  a.id === b.id

/** The entry of an action that was allowed. */
export const entryOf = ({ action, ...step }: Step, evaluationId: string, at: number): Entry => ({
  action,
  at,
  evaluationId,
  ...step,
})

/**
 * Adds a step to a session, in the transaction of what it is about. `news`: what the sessions above don't know yet.
 */
export const addStep = (
  storage: DurableObjectStorage,
  id: string,
  before: Session | undefined,
  entry: Entry,
): Session & { news?: News } => {
  const content = after(before, entry)
  const link = { seq: (before?.seq ?? 0) + 1, prev: before?.hash ?? GENESIS, entry: jcs(entry) }
  const hash = linkHash(id, link, content)
  const session = { seq: link.seq, hash, ...content }
  const state = JSON.stringify(content.state)
  const line = content.line ? JSON.stringify(content.line) : null
  proven.set(storage, { session, text: { id, ...link, hash, state, line } })
  storage.sql.exec(
    'INSERT INTO session_step (id, seq, prev, hash, entry) VALUES (?, ?, ?, ?, ?)',
    id,
    link.seq,
    link.prev,
    hash,
    link.entry,
  )
  storage.sql.exec(
    'INSERT OR REPLACE INTO session (id, seq, hash, state, at, line) VALUES (?, ?, ?, ?, ?, ?)',
    id,
    link.seq,
    hash,
    state,
    entry.at,
    line,
  )
  const tells = content.line && !('inherited' in entry)
  const news = tells ? newsBetween(before?.state ?? beginning(entry.at), content.state) : undefined
  return { ...session, ...(news && { news }) }
}

/** `context.session`, as policies read it. */
export const sessionValue = (state: SessionState | undefined, now: number, overdue: number): CedarRecord => {
  const { startedAt, steps, actions, resources, types, classes, level, request } = state ?? beginning(now)
  return recordOf([
    ['startedAt', { kind: 'datetime', epoch: startedAt }],
    ['steps', steps],
    ['actions', setOf(actions)],
    // a list that may have lost something answers nothing: who asks it errs, and a forbid that errs forbids
    ...(isFull(resources) ? [] : [['resources', setOf(resources)] as const]),
    ['types', setOf(types)],
    ['classes', setOf(classes)],
    ['level', level],
    ['request', request],
    ['overdue', overdue],
  ])
}

export type SessionRow = { seq: number; hash: string; state: string; line: string | null }

/** What a step leads to. */
export type Content = Pick<Session, 'state' | 'line'>

/** `undefined` where it can't be read: then nobody wrote it who may. */
export const contentOf = ({ state, line }: Pick<SessionRow, 'state' | 'line'>): Content | undefined => {
  try {
    return { state: JSON.parse(state), ...(line !== null && { line: JSON.parse(line) }) }
  } catch {
    return undefined
  }
}

export const after = (before: Content | undefined, entry: Entry): Content => {
  const state = before?.state ?? beginning(entry.at)
  const line = before?.line
  if ('inherited' in entry) return { state: joined(state, entry.inherited.state), line: entry.inherited.line }
  const next = 'handed_on' in entry ? state : 'told' in entry ? joined(state, entry.told.news) : afterStep(state, entry)
  return { state: next, ...(line && { line }) }
}

export const GENESIS = '-'

export const linkHash = (
  session: string,
  { seq, prev, entry }: Omit<StoredStep, 'hash'>,
  { state, line }: Content,
): string => contentHash({ entry, ...(line && { line }), prev, seq, session, state, v: 1 })

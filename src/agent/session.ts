import { type CedarRecord, recordOf, setOf } from '../cedar/value.ts'
import { contentHash, jcs } from '../durable/hash.ts'
import type { Step } from './call.ts'

/** What a session has come to: all that policies can read of it. Lists hold each once, sorted. */
export type SessionState = {
  startedAt: number
  /** How many actions were allowed. */
  steps: number
  actions: string[]
  resources: string[]
  types: string[]
  classes: string[]
  /** The rank of the highest class that was read; -1 where none was. */
  level: number
  /** What the user asked for in the beginning; empty where nobody said. */
  request: string
}

export type Session = { seq: number; hash: string; state: SessionState }

/** A step as it is kept. Its hash covers the one before and the state that it led to. */
export type StoredStep = { seq: number; prev: string; hash: string; entry: string }

/** `tampered` where the state isn't what the last step led to. */
export const readSession = (storage: DurableObjectStorage, id: string): Session | 'tampered' | undefined => {
  const [row] = storage.sql.exec<{
    seq: number
    hash: string
    state: string
    prev: string | null
    entry: string | null
  }>(
    `SELECT session.seq, session.hash, state, prev, entry FROM session
     LEFT JOIN session_step ON session_step.id = session.id AND session_step.seq = session.seq WHERE session.id = '' || ?`,
    id,
  )
  return row && sessionIn(storage, id, [row.seq, row.hash, row.state, row.prev, row.entry])
}

/** What is stored of a session, and of its last step. */
export type StoredSession = [
  seq: number | null,
  hash: string | null,
  state: string | null,
  prev: string | null,
  entry: string | null,
]

export const sessionIn = (
  storage: DurableObjectStorage,
  id: string,
  [seq, hash, text, prev, entry]: StoredSession,
): Session | 'tampered' | undefined => {
  if (seq === null || hash === null || text === null) return undefined
  if (prev === null || entry === null) return 'tampered'
  const known = proven.get(storage)
  if (known && isSame(known, { id, seq, hash, prev, entry, text })) return known
  const state: SessionState = JSON.parse(text)
  if (linkHash(id, { seq, prev, entry }, state) !== hash) return 'tampered'
  return { seq, hash, state }
}

/** By object, the last link that it made: a session that is still the very same needn't be hashed again. */
const proven = new WeakMap<DurableObjectStorage, Session & SessionText>()
type SessionText = StoredStep & { id: string; text: string }

const isSame = (a: SessionText, b: SessionText): boolean =>
  a.hash === b.hash && a.text === b.text && a.entry === b.entry && a.prev === b.prev && a.seq === b.seq && a.id === b.id

/** Adds a step to a session, in the transaction of the decision that allowed it. */
export const takeStep = (
  storage: DurableObjectStorage,
  before: Session | undefined,
  step: Step,
  more: { evaluationId: string; at: number },
): { seq: number; hash: string } => {
  const { session: id } = step
  const entry = jcs({ ...step, ...more })
  const state = stateAfter(before?.state, step, more.at)
  const link = { seq: (before?.seq ?? 0) + 1, prev: before?.hash ?? GENESIS, entry }
  const hash = linkHash(id, link, state)
  const text = JSON.stringify(state)
  proven.set(storage, { id, ...link, hash, text, state })
  storage.sql.exec(
    'INSERT INTO session_step (id, seq, prev, hash, entry) VALUES (?, ?, ?, ?, ?)',
    id,
    link.seq,
    link.prev,
    hash,
    entry,
  )
  storage.sql.exec(
    'INSERT OR REPLACE INTO session (id, seq, hash, state, at) VALUES (?, ?, ?, ?, ?)',
    id,
    link.seq,
    hash,
    text,
    more.at,
  )
  return { seq: link.seq, hash }
}

/** A session's steps, and the first that isn't what the others lead to. */
export const traceSession = (
  { sql }: DurableObjectStorage,
  id: string,
): { state: SessionState; steps: StoredStep[]; wrong?: number } | undefined => {
  const [row] = sql.exec<{ state: string; hash: string }>('SELECT state, hash FROM session WHERE id = ?', id)
  if (!row) return undefined
  const steps = sql
    .exec<StoredStep>('SELECT seq, prev, hash, entry FROM session_step WHERE id = ? ORDER BY seq', id)
    .toArray()
  let [prev, state]: [string, SessionState | undefined] = [GENESIS, undefined]
  let wrong: number | undefined
  for (const [index, step] of steps.entries()) {
    const { at, ...entry }: Step & { at: number } = JSON.parse(step.entry)
    state = stateAfter(state, entry, at)
    const right = step.seq === index + 1 && step.prev === prev && linkHash(id, step, state) === step.hash
    if (!right) wrong ??= index + 1
    prev = step.hash
  }
  if (prev !== row.hash || JSON.stringify(state) !== row.state) wrong ??= steps.length
  return { state: JSON.parse(row.state), steps, ...(wrong !== undefined && { wrong }) }
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

/** How many resources a session can tell apart, and of how many characters: each step reads, hashes and writes them all. */
const MOST_RESOURCES = 1_000
const MOST_CHARS = 64_000

const isFull = (resources: readonly string[]): boolean =>
  resources.length >= MOST_RESOURCES || resources.reduce((sum, { length }) => sum + length, 0) >= MOST_CHARS

const beginning = (at: number): SessionState => ({
  startedAt: at,
  steps: 0,
  actions: [],
  resources: [],
  types: [],
  classes: [],
  level: -1,
  request: '',
})

const stateAfter = (before: SessionState | undefined, step: Step, at: number): SessionState => {
  const { startedAt, steps, actions, resources, types, classes, level, request } = before ?? beginning(at)
  const { action, resource, type, read } = step
  return {
    startedAt,
    steps: steps + 1,
    actions: joined(actions, action),
    resources: isFull(resources) ? resources : joined(resources, resource),
    types: joined(types, type),
    classes: read ? joined(classes, read.class) : classes,
    level: Math.max(level, read?.level ?? -1),
    request: request || (step.request ?? ''),
  }
}

const joined = (list: string[], one: string): string[] => (list.includes(one) ? list : [...list, one].sort())

const GENESIS = '-'

const linkHash = (
  session: string,
  { seq, prev, entry }: Omit<StoredStep, 'hash'>,
  state: SessionState | undefined,
): string => contentHash({ v: 1, session, seq, prev, entry, state })

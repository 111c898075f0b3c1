import { jcs } from '../durable/jcs.ts'
import { after, type Content, contentOf, GENESIS, linkHash, type SessionRow, type StoredStep } from './session.ts'
import type { SessionState } from './session-state.ts'

export type Trace = {
  state?: SessionState
  unreadable?: string
  steps: StoredStep[]
  wrong?: number
  forgotten?: number
}

/**
 * A session's steps, and the first that isn't what the others lead to; `forgotten`: how many there were before them that
 * are no longer kept; `unreadable`: what stands there for a state.
 */
export const traceSession = ({ sql }: DurableObjectStorage, id: string): Trace | undefined => {
  const [row] = sql.exec<SessionRow>('SELECT seq, hash, state, line FROM session WHERE id = ?', id)
  if (!row) return undefined
  const steps = sql
    .exec<StoredStep>('SELECT seq, prev, hash, entry FROM session_step WHERE id = ? ORDER BY seq', id)
    .toArray()
  const cut = cutOf(sql, id)
  const [first] = steps
  const forgotten = cut && first ? first.seq - 1 : 0
  let [prev, content]: [string, Content | undefined] = [(cut && first?.prev) ?? GENESIS, undefined]
  let wrong: number | undefined
  for (const [index, step] of steps.entries()) {
    const next = followed(id, content, step, step === first ? cut : undefined)
    const seq = forgotten + index + 1
    if (step.seq !== seq || step.prev !== prev || next?.hash !== step.hash) wrong ??= seq
    content = next?.content ?? content
    prev = step.hash
  }
  const kept = contentOf(row)
  const holds = content && kept && prev === row.hash && jcs(content) === jcs(kept)
  if (!holds) wrong ??= forgotten + steps.length
  return {
    ...(kept ? { state: kept.state } : { unreadable: row.state }),
    steps,
    ...(wrong !== undefined && { wrong }),
    ...(forgotten > 0 && { forgotten }),
  }
}

/** What the first step that is kept led to, where those before it are no longer there to say so, and where it can be read. */
export const cutOf = (sql: SqlStorage, id: string): Content | undefined => {
  const [row] = sql.exec<Pick<SessionRow, 'state' | 'line'>>('SELECT state, line FROM session_cut WHERE id = ?', id)
  return row && contentOf(row)
}

/**
 * What a step leads to, and its link; `undefined` where nothing can be made of it: then nobody wrote it who may. `led`:
 * what it led to, where the steps before it can't say so.
 */
export const followed = (
  session: string,
  before: Content | undefined,
  step: StoredStep,
  led?: Content,
): { content: Content; hash: string } | undefined => {
  try {
    const content = led ?? after(before, JSON.parse(step.entry))
    return { content, hash: linkHash(session, step, content) }
  } catch {
    return undefined
  }
}

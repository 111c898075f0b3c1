import { withDeadline } from '../durable/deadline.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { DecideCall, DecideItem, DecideReply } from './calls/decide.ts'
import type { Inheritance, Place, ToldCall } from './calls/sessions.ts'
import type { AgentObject } from './object.ts'
import { readSelf } from './self.ts'
import { addStep, isOwn, readSession, type Session } from './session.ts'
import { beginning, joined, type News, newsBetween } from './session-state.ts'
import { planSweep } from './sweep.ts'

/**
 * Sessions in trees. A session that another agent's task began knows what that agent's session knew then, and tells it
 * what it learns: up the whole line, before any answer that rests on it counts. So everything that was answered anywhere
 * in a tree is known at its root.
 */

type Agents = DurableObjectNamespace<AgentObject>

/** What a session hands on to the session of another agent: all that it knows, as a step of its own. */
export const handOn = (
  storage: DurableObjectStorage,
  before: Session | undefined,
  { from, to, at }: { from: Place; to: Place; at: number },
): Inheritance => {
  const { seq, hash, state, line = [] } = addStep(storage, from.session, before, { handed_on: to, at })
  return { line: [from, ...line], seq, hash, state }
}

/** Begins a session with what it inherits, once. */
export const inherit = (storage: DurableObjectStorage, id: string, inherited: Inheritance, now: number): void => {
  const before = readSession(storage, id)
  if (before === 'tampered') throw new Error(`session ${id} was tampered with`)
  if (before?.line) return
  addStep(storage, id, before, { inherited, at: now })
}

/** Notes what the sessions above don't know yet, in the transaction of the step that it was learned by. */
export const keepNews = (
  storage: DurableObjectStorage,
  id: string,
  { seq, news }: ReturnType<typeof addStep>,
  now: number,
): void => {
  if (!news) return
  storage.sql.exec('INSERT INTO session_news (id, seq, news) VALUES (?, ?, ?)', id, seq, JSON.stringify(news))
  plan(storage, 'tell', id, now + TELL_MS)
}

/** What isn't told before an answer is told together, so long after the first of it. */
const TELL_MS = 1_000

/**
 * Whether something is left to be told. `read`: of what policies read, when nothing is said of all; what they don't read
 * nothing rests on, so it can wait.
 */
export const hasNews = ({ sql }: DurableObjectStorage, id: string, read?: readonly string[]): boolean =>
  sql
    .exec<{ news: string }>('SELECT news FROM session_news WHERE id = ?', id)
    .toArray()
    .some(({ news }) => !read || Object.keys(JSON.parse(news)).some(name => read.includes(name)))

/** Tells the session above what it doesn't know yet. Throws where that isn't confirmed. */
export const tell = async (storage: DurableObjectStorage, agents: Agents, id: string): Promise<void> => {
  const rows = storage.sql
    .exec<{ seq: number; news: string; hash: string }>(
      `SELECT session_news.seq, news, hash FROM session_news
       JOIN session_step ON session_step.id = session_news.id AND session_step.seq = session_news.seq
       WHERE session_news.id = ? ORDER BY session_news.seq`,
      id,
    )
    .toArray()
  const last = rows.at(-1)
  const self = readSelf(storage)
  if (!last || !self) return
  const session = readSession(storage, id)
  const above = session === 'tampered' ? undefined : session?.line?.[0]
  if (!above) throw new Error(`session ${id} has lost the one above it`)
  const { seq, hash } = last
  const from = { object: self.chain, agent: self.agent, session: id, seq, hash }
  const news = rows.map((row): News => JSON.parse(row.news)).reduce(both)
  const { object } = above
  await withDeadline(agents.getByName(object).told({ v: 1, session: above.session, from, news }), DEADLINE_MS)
  storage.sql.exec('DELETE FROM session_news WHERE id = ? AND seq <= ?', id, seq)
}

const DEADLINE_MS = 1_500

const both = (one: News, other: News): News => {
  const { steps: _, startedAt: __, request: ___, ...news } = joined(joined(beginning(0), one), other)
  return news
}

/** Takes in what a session below has learned. Whoever is told twice learns nothing new. */
export const learn = (storage: DurableObjectStorage, { v, session: id, from, news }: ToldCall, now: number): void => {
  if (v !== 1) throw new Error('written by a newer Worker')
  storage.transactionSync(() => {
    const before = readSession(storage, id)
    if (!before || before === 'tampered') throw new Error(`session ${id}: ${before ?? 'forgotten'}`)
    if (!newsBetween(before.state, joined(before.state, news))) return
    const step = addStep(storage, id, before, { told: { by: from, news }, at: now })
    keepNews(storage, id, step, now)
    planSweep(storage, now)
  })
}

/** Gives a reply that rests on all that a session knows: once that is told. Rejects where it couldn't be. */
export const toldFirst = <T>(
  storage: DurableObjectStorage,
  agents: Agents,
  id: string | undefined,
  reply: T,
): T | Promise<T> => (id === undefined || !hasNews(storage, id) ? reply : tell(storage, agents, id).then(() => reply))

/** Tells later what couldn't be told, or needn't be told, at once. */
export const telling = (storage: DurableObjectStorage, agents: Agents, clock: () => number): Handler => ({
  run: id => tell(storage, agents, id),
  next: id => (hasNews(storage, id) ? clock() + TELL_MS : undefined),
})

/**
 * Tells up the line what answers that allow rest on: what their own steps brought, and what other steps of the session
 * brought that wasn't told either. An answer whose session couldn't be told isn't given; the retry gets it.
 */
export const answered = (
  storage: DurableObjectStorage,
  agents: Agents,
  { items }: DecideCall,
  reply: DecideReply,
): DecideReply | Promise<DecideReply> => {
  // most sessions come from no other, and most objects never have any news
  if (items.every(({ step }) => !step || isOwn(storage, step.session))) return reply
  if (storage.sql.exec('SELECT 1 FROM session_news LIMIT 1').toArray().length === 0) return reply
  const sessions = reply.map((answer, at) => untoldBehind(storage, answer, items[at]))
  return sessions.every(id => id === undefined) ? reply : afterTelling(storage, agents, reply, sessions)
}

/** The session that an answer rests on, where that has something to tell. */
const untoldBehind = (
  storage: DurableObjectStorage,
  answer: DecideReply[number],
  item: DecideItem | undefined,
): string | undefined => {
  const allows = answer.kind === 'decided' && (answer.outcome === 'allow' || answer.outcome === 'modify')
  return allows && item?.step && hasNews(storage, item.step.session, item.reads) ? item.step.session : undefined
}

const afterTelling = async (
  storage: DurableObjectStorage,
  agents: Agents,
  reply: DecideReply,
  sessions: (string | undefined)[],
): Promise<DecideReply> => {
  const untold = new Set<string | undefined>()
  for (const id of new Set(sessions)) {
    if (id === undefined) continue
    try {
      await tell(storage, agents, id)
    } catch (error) {
      console.warn(`session ${id}: the one above it could not be told: ${error}`)
      untold.add(id)
    }
  }
  return reply.map((answer, at) => (untold.has(sessions[at]) ? { kind: 'untold' } : answer))
}

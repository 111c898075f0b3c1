import { DurableObject } from 'cloudflare:workers'
import type { CollectCall, CollectReply } from '../agent/calls/receipts.ts'
import { withDeadline } from '../durable/deadline.ts'
import { migrate } from '../durable/schema.ts'
import { logReceipts } from './log/feed.ts'
import type { LogObject } from './log/object.ts'
import { type Backlog, backlog, noteFork, noteStored, noteWaiting, schema } from './waiting.ts'
import { writeReceipts } from './write.ts'

export type CollectorEnv = { DB: D1Database; LOG: DurableObjectNamespace<LogObject> }

/** What goes into one write, in receipts and in characters; a write of one call may be larger. */
const MOST = 1_000
const MOST_CHARS = 512 * 1024
/** Leaves the caller time to hear of it. */
const DEADLINE_MS = 20_000

type Waiting = { call: CollectCall; answer: (reply: CollectReply) => void }

/**
 * Gathers receipts of many agents, writes them to D1, which takes one write at a time, and hands what D1 has to the
 * tenant's log. Whatever comes while a write is under way goes into the next one. Nothing is owed to the receipts here: their agents keep them until both
 * have them, and what comes again is in each once.
 */
export class CollectorObject extends DurableObject<CollectorEnv> {
  #queue: Waiting[] = []
  /** What is being written. */
  #group: Waiting[] = []

  constructor(ctx: DurableObjectState, env: CollectorEnv) {
    super(ctx, env)
    migrate(ctx.storage, schema)
  }

  collect(call: CollectCall): Promise<CollectReply> {
    return new Promise(answer => {
      this.#queue.push({ call, answer })
      if (this.#group.length === 0) void this.#write()
    })
  }

  /** The chains whose receipts D1 doesn't have yet, and those that it contradicts. */
  backlog(): Backlog {
    return backlog(
      this.ctx.storage,
      [...this.#group, ...this.#queue].map(({ call }) => call),
    )
  }

  async #write(): Promise<void> {
    try {
      do {
        this.#group = take(this.#queue)
        await this.#writeGroup(this.#group)
      } while (this.#queue.length > 0)
    } finally {
      this.#group = []
    }
  }

  /** D1 first: the log must hold nothing that the record doesn't. */
  async #record(calls: readonly CollectCall[]): Promise<CollectReply[]> {
    return logReceipts(this.env.LOG, calls, await writeReceipts(this.env.DB, calls))
  }

  async #writeGroup(group: Waiting[]): Promise<void> {
    const { storage } = this.ctx
    const calls = group.map(({ call }) => call)
    try {
      const replies = await withDeadline(this.#record(calls), DEADLINE_MS)
      noteStored(
        storage,
        calls.filter((_, index) => replies[index]?.kind === 'stored'),
      )
      for (const [index, { call, answer }] of group.entries()) {
        const reply = replies[index] ?? { kind: 'unavailable' }
        if (reply.kind === 'fork') noteFork(storage, call, reply.seq)
        answer(reply)
      }
    } catch (error) {
      noteWaiting(storage, calls, String(error))
      for (const { answer } of group) answer({ kind: 'unavailable' })
    }
  }
}

/** Takes as many from the front of the queue as go into one write, one at least. */
const take = (queue: Waiting[]): Waiting[] => {
  let receipts = 0
  let chars = 0
  const over = queue.findIndex(({ call }, index) => {
    receipts += call.receipts.length
    for (const { body, secrets } of call.receipts) chars += body.length + secrets.length
    return index > 0 && (receipts > MOST || chars > MOST_CHARS)
  })
  return queue.splice(0, over === -1 ? queue.length : over)
}

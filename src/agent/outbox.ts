import type { CollectorObject } from '../audit/collector.ts'
import { collectorOf } from '../audit/collectors.ts'
import type { StoredReceipt } from '../audit/receipt.ts'
import { withDeadline } from '../durable/deadline.ts'
import { type Handler, plan } from '../durable/due.ts'
import type { CollectReply } from './calls/receipts.ts'
import { planPrune } from './prune.ts'
import { oldest, receiptsAfter } from './receipts.ts'
import { readSelf } from './self.ts'

/** How long the first unflushed receipt waits for others to go with it. */
const FLUSH_MS = 2_000
/** What goes in one call to a collector: so many receipts, of so many characters. */
const BATCH = 250
const BATCH_CHARS = 256 * 1024
/** A backlog is sent in so many calls at a time. */
const BATCHES = 20
const DEADLINE_MS = 30_000

type Collectors = DurableObjectNamespace<CollectorObject>

export const planFlush = (storage: DurableObjectStorage, now: number): void =>
  plan(storage, 'flush', '', now + FLUSH_MS)

/** Sends what D1 hasn't confirmed. Only the alarm flushes, so there is one flush in flight. */
export const flushing = (storage: DurableObjectStorage, collectors: Collectors, clock: () => number): Handler => ({
  run: async () => {
    for (let sent = 0; sent < BATCHES; sent++) {
      const more = await flushBatch(storage, collectors)
      if (!more) return
    }
  },
  next: () => {
    const self = readSelf(storage)
    const waits = self?.head && self.head.seq > self.flushed && !self.fork
    return waits ? clock() + FLUSH_MS : undefined
  },
})

/** Receipts that D1 hasn't confirmed, and when the oldest of them was made. */
export const unflushed = ({ sql }: DurableObjectStorage): { count: number; since?: number } => {
  const { count, since } = sql
    .exec<{ count: number; since: number | null }>(
      'SELECT count(*) AS count, min(at) AS since FROM receipt WHERE seq > (SELECT flushed FROM self)',
    )
    .one()
  return since === null ? { count } : { count, since }
}

/** Sends everything from `from` on again, as far as it is still here. D1 ignores what it has. */
export const refill = (storage: DurableObjectStorage, from: number, now: number): { from: number; to: number } => {
  const first = oldest(storage)
  const head = readSelf(storage)?.head
  if (!first || !head) return { from, to: 0 }
  const start = Math.max(from, first.seq)
  storage.sql.exec('UPDATE self SET flushed = min(flushed, ?)', start - 1)
  planFlush(storage, now)
  return { from: start, to: head.seq }
}

/**
 * Sends the next batch; says whether more has been waiting. What came while it was under way waits for others, as the
 * first did: else a busy object would send on and on, a few at a time.
 */
const flushBatch = async (storage: DurableObjectStorage, collectors: Collectors): Promise<boolean> => {
  const self = readSelf(storage)
  if (!self || self.fork) return false
  const { receipts, full } = nextBatch(storage, self.flushed)
  const last = receipts.at(-1)
  if (!last) return false
  const { tenant, chain, agent, flushed } = self
  const collector = collectorOf(collectors, tenant, chain)
  const reply = await withDeadline<CollectReply>(
    collector.collect({ v: 1, tenant, chain, agent, receipts }),
    DEADLINE_MS,
  )
  switch (reply.kind) {
    case 'unavailable':
      throw new Error('the collector could not write')
    case 'behind':
      if (refill(storage, reply.seq + 1, 0).from > reply.seq + 1)
        throw new Error(`the log needs the receipts after ${reply.seq}, which are no longer here`)
      return true
    case 'fork':
      storage.sql.exec('UPDATE self SET fork = ?', reply.seq)
      return false
    case 'stored':
      storage.transactionSync(() => {
        // a refill that came in between holds
        storage.sql.exec('UPDATE self SET flushed = ? WHERE flushed = ?', last.seq, flushed)
        planPrune(storage)
      })
      return full
  }
}

const nextBatch = (storage: DurableObjectStorage, flushed: number): { receipts: StoredReceipt[]; full: boolean } => {
  let chars = 0
  const receipts = receiptsAfter(storage, flushed, BATCH)
  const over = receipts.findIndex(({ body, secrets }, index) => {
    chars += body.length + secrets.length
    return index > 0 && chars > BATCH_CHARS
  })
  return over === -1 ? { receipts, full: receipts.length === BATCH } : { receipts: receipts.slice(0, over), full: true }
}

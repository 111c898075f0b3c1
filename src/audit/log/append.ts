import { plan } from '../../durable/due.ts'
import { entryText } from './entry.ts'

/** Links of several chains for one tenant's log, contiguous in each chain. D1 has them already. */
export type AppendCall = { v: 1; tenant: string; chains: ChainLinks[] }
export type ChainLinks = { chain: string; from: number; prev: string; hashes: string[] }

export type AppendReply =
  /** Every link is in the log, once. */
  | { kind: 'logged' }
  /** The log lacks links before these: it has them up to `seq`. Nothing of this chain was taken. */
  | { kind: 'behind'; seq: number }
  /** What the log has at `seq` is another link. Nothing of this chain was taken. */
  | { kind: 'fork'; seq: number }

/** How long the first unpublished entry waits for others to go under one checkpoint with it. */
export const PUBLISH_MS = 2_000

/** Adds what the log doesn't have yet; one reply for each chain. */
export const append = (storage: DurableObjectStorage, call: AppendCall, origin: string, now: number): AppendReply[] =>
  storage.transactionSync(() => {
    const { sql } = storage
    sql.exec('INSERT INTO log (one, tenant, origin) VALUES (1, ?, ?) ON CONFLICT DO NOTHING', call.tenant, origin)
    const replies = call.chains.map(links => appendChain(storage, links))
    if (unpublished(storage) > 0) plan(storage, 'publish', '', now + PUBLISH_MS)
    return replies
  })

/** How many entries no checkpoint covers. */
export const unpublished = ({ sql }: DurableObjectStorage): number =>
  sql.exec<{ count: number }>('SELECT coalesce(max(size - published), 0) AS count FROM log').one().count

/** Writes entries, as text, behind the last; returns the leaf of the first. In the caller's transaction. */
export const addEntries = ({ sql }: DurableObjectStorage, entries: readonly string[]): number => {
  const { size } = sql.exec<{ size: number }>('SELECT size FROM log').one()
  // one statement: for each it would cost more than the entry does
  sql.exec(
    'INSERT INTO entry (leaf, entry) SELECT ? + key, CAST(value AS BLOB) FROM json_each(?)',
    size,
    JSON.stringify(entries),
  )
  sql.exec('UPDATE log SET size = ?', size + entries.length)
  return size
}

const appendChain = (storage: DurableObjectStorage, { chain, from, prev, hashes }: ChainLinks): AppendReply => {
  const { sql } = storage
  const [known] = sql.exec<{ no: number; seq: number; hash: string }>(
    'SELECT no, seq, hash FROM chain WHERE chain = ?',
    chain,
  )
  const last = known ?? { seq: 0, hash: '-' }
  if (from > last.seq + 1) return { kind: 'behind', seq: last.seq }
  // what comes again was compared by D1; here the joint is: the log's last link must be among them, or before the first
  const joint = from === last.seq + 1 ? prev : hashes[last.seq - from]
  if (joint !== undefined && joint !== last.hash) return { kind: 'fork', seq: last.seq || 1 }
  const fresh = hashes.slice(last.seq + 1 - from)
  const newest = fresh.at(-1)
  if (newest === undefined) return { kind: 'logged' }
  const seq = last.seq + 1
  const leaf = addEntries(
    storage,
    fresh.map((hash, index) => entryText({ chain, seq: seq + index, hash })),
  )
  const { no } = sql
    .exec<{ no: number }>(
      `INSERT INTO chain (chain, seq, hash) VALUES (?, ?, ?)
       ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash RETURNING no`,
      chain,
      seq + fresh.length - 1,
      newest,
    )
    .one()
  sql.exec('INSERT INTO run (chain, seq, leaf, count) VALUES (?, ?, ?, ?)', no, seq, leaf, fresh.length)
  return { kind: 'logged' }
}

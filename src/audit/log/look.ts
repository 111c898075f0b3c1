import { latestNote } from './publish.ts'

export type LoggedChain = { chain: string; seq: number }

/** How far a log has come. */
export type LogStatus = {
  /** Leaves, and how many of them the newest checkpoint covers. */
  size: number
  published: number
  /** The newest checkpoint; absent before the first. */
  checkpoint?: string
  /** Keys that have signed checkpoints, and the leaves that say so. */
  signers: { key: string; leaf: number }[]
}

export const status = (storage: DurableObjectStorage): LogStatus => {
  const { sql } = storage
  const [log] = sql.exec<{ size: number; published: number }>('SELECT size, published FROM log')
  const checkpoint = latestNote(storage)
  return {
    size: log?.size ?? 0,
    published: log?.published ?? 0,
    ...(checkpoint !== undefined && { checkpoint }),
    signers: sql.exec<{ key: string; leaf: number }>('SELECT key, leaf FROM signer ORDER BY leaf').toArray(),
  }
}

export const leafOf = (
  { sql }: DurableObjectStorage,
  { chain, seq }: { chain: string; seq: number },
): number | undefined => {
  const [run] = sql.exec<{ seq: number; leaf: number; count: number }>(
    `SELECT run.seq, run.leaf, run.count FROM run JOIN chain ON chain.no = run.chain
     WHERE chain.chain = ? AND run.seq <= ? ORDER BY run.seq DESC LIMIT 1`,
    chain,
    seq,
  )
  return run && seq < run.seq + run.count ? run.leaf + seq - run.seq : undefined
}

export const chainsAfter = (
  { sql }: DurableObjectStorage,
  { after, limit }: { after: string; limit: number },
): LoggedChain[] =>
  sql
    .exec<LoggedChain>(
      'SELECT chain, seq FROM chain WHERE chain > ? ORDER BY chain LIMIT ?',
      after,
      Math.min(limit, 1_000),
    )
    .toArray()

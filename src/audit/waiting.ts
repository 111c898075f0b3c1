import type { CollectCall } from '../agent/calls/receipts.ts'

/** A chain whose receipts couldn't be written yet. */
type WaitingChain = {
  chain: string
  agent: string
  /** Milliseconds: when the oldest receipt that waits was made. */
  since: number
  /** Why the last attempt failed; absent while the first is under way. */
  error?: string
}

/** A chain that the record contradicts at `seq`. */
type ForkedChain = { chain: string; agent: string; seq: number }

/** Chains that wait, the longest first. */
export type Backlog = { chains: WaitingChain[]; forks: ForkedChain[] }

export const schema: readonly string[] = [
  'CREATE TABLE waiting (chain TEXT PRIMARY KEY, agent TEXT NOT NULL, since INTEGER NOT NULL, error TEXT NOT NULL) WITHOUT ROWID',
  'CREATE TABLE fork (chain TEXT PRIMARY KEY, agent TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID',
]

export const noteWaiting = ({ sql }: DurableObjectStorage, calls: readonly CollectCall[], error: string): void => {
  for (const { chain, agent, since } of calls.map(waitingOf)) {
    sql.exec(
      `INSERT INTO waiting (chain, agent, since, error) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET since = min(since, excluded.since), error = excluded.error`,
      chain,
      agent,
      since,
      error,
    )
  }
}

export const noteStored = ({ sql }: DurableObjectStorage, calls: readonly CollectCall[]): void => {
  const chains = JSON.stringify(calls.map(({ chain }) => chain))
  sql.exec('DELETE FROM waiting WHERE chain IN (SELECT value FROM json_each(?))', chains)
}

export const noteFork = (storage: DurableObjectStorage, call: CollectCall, seq: number): void => {
  noteStored(storage, [call])
  storage.sql.exec('INSERT OR IGNORE INTO fork (chain, agent, seq) VALUES (?, ?, ?)', call.chain, call.agent, seq)
}

/** What is noted, and the calls that are in hand. */
export const backlog = ({ sql }: DurableObjectStorage, inHand: readonly CollectCall[]): Backlog => {
  const noted = sql.exec<Required<WaitingChain>>('SELECT chain, agent, since, error FROM waiting').toArray()
  const known = new Set(noted.map(({ chain }) => chain))
  const others = inHand.filter(({ chain }) => !known.has(chain)).map(waitingOf)
  return {
    chains: [...noted, ...others].sort((a, b) => a.since - b.since),
    forks: sql.exec<ForkedChain>('SELECT chain, agent, seq FROM fork').toArray(),
  }
}

const waitingOf = ({ chain, agent, receipts }: CollectCall): WaitingChain => ({
  chain,
  agent,
  since: receipts[0]?.at ?? 0,
})

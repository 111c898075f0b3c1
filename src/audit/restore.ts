import type { CollectCall } from '../agent/calls/receipts.ts'
import { contentHash } from '../durable/hash.ts'
import { jcs } from '../durable/jcs.ts'
import { type LogReader, readTile } from './log/bucket.ts'
import { readBundle, readEntry } from './log/entry.ts'
import type { ExportedReceipt } from './log/lines.ts'
import { WIDTH, widthAt } from './log/tiles.ts'
import { linkHash } from './receipt.ts'
import { writeReceipts } from './write.ts'

export type RestoreReply =
  | { kind: 'restored'; receipts: number }
  /** The log has no such receipt there, or it isn't what its link says. Nothing of the call was written. */
  | { kind: 'refused'; leaf: number }

/**
 * Writes receipts of one bundle back to D1, from an export. Only what the log vouches for comes in, so whoever may
 * restore can still not invent; what D1 has already stays as it is.
 */
export const restore = async (
  db: D1Database,
  log: LogReader,
  size: number,
  n: number,
  lines: readonly ExportedReceipt[],
): Promise<RestoreReply> => {
  const bundle = await readTile(log, { level: 'entries', n, width: widthAt(size, 0, n) })
  const entries = readBundle(bundle ?? new Uint8Array())?.map(readEntry) ?? []
  for (const line of lines) {
    const entry = entries[line.leaf - n * WIDTH]
    const { chain, seq, prev, kind, at, bodyCommit, hash, body } = line
    const vouched = entry && 'chain' in entry && entry.chain === chain && entry.seq === seq && entry.hash === hash
    const whole =
      typeof body !== 'string' &&
      contentHash(body) === bodyCommit &&
      linkHash({ v: 1, chain, seq, prev, kind, at, bodyCommit }) === hash
    if (!vouched || !whole) return { kind: 'refused', leaf: line.leaf }
  }
  const replies = await writeReceipts(db, callsOf(log.tenant, lines))
  const bad = replies.find(reply => reply.kind !== 'stored')
  const [first] = lines
  return bad ? { kind: 'refused', leaf: first?.leaf ?? n * WIDTH } : { kind: 'restored', receipts: lines.length }
}

/** As collectors get them: a call for each chain. */
const callsOf = (tenant: string, lines: readonly ExportedReceipt[]): CollectCall[] =>
  [...Map.groupBy(lines, ({ chain }) => chain)].map(([chain, own]) => ({
    v: 1,
    tenant,
    chain,
    agent: own[0]?.columns?.agent ?? '',
    receipts: own.map(({ seq, prev, kind, at, bodyCommit, hash, body, secrets }) => ({
      seq,
      prev,
      kind,
      at,
      bodyCommit,
      hash,
      body: jcs(body),
      secrets: typeof secrets === 'string' ? '{}' : JSON.stringify(secrets),
    })),
  }))

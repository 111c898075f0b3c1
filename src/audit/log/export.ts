import type { AgentObject } from '../../agent/object.ts'
import { jcs } from '../../durable/jcs.ts'
import type { Columns } from '../columns.ts'
import type { Body, StoredReceipt } from '../receipt.ts'
import { type LogReader, readTile } from './bucket.ts'
import { type Entry, readBundle, readEntry } from './entry.ts'
import type { ExportBundle, ExportedReceipt } from './lines.ts'
import { hashRanges, type Tile, WIDTH, widthAt } from './tiles.ts'
import { inclusionPath } from './tree.ts'

/** A receipt as a store has it, with whose it is and what it is searched by there. */
export type FoundReceipt = StoredReceipt & { chain: string; columns: ExportedReceipt['columns'] }
/** Receipts of one tenant by their places, in any order. Those that are lost are left out. */
export type Finder = (places: { chain: string; seq: number }[]) => Promise<FoundReceipt[]>

/** The lines of the `n`-th bundle in the tree of `size` leaves; `undefined` where there is none. */
export const exportBundle = async (
  log: LogReader,
  find: Finder,
  n: number,
  size: number,
): Promise<(ExportBundle | ExportedReceipt)[] | undefined> => {
  const width = widthAt(size, 0, n)
  if (width === 0) return undefined
  const tile = async (of: Tile) => {
    const bytes = await readTile(log, of)
    if (!bytes) throw new Error(`the bucket lacks tile ${of.level}/${of.n}`)
    return bytes
  }
  const [bundle, leaves] = await Promise.all([tile({ level: 'entries', n, width }), tile({ level: 0, n, width })])
  const from = n * WIDTH
  const proof = await hashRanges(inclusionPath([from, from + width], size), size, tile)
  const entries = readBundle(bundle) ?? []
  const places = entries.map(readEntry).map(placeOf)
  const found = new Map(
    (await find(places.filter(place => place !== undefined))).map(receipt => [
      `${receipt.chain}/${receipt.seq}`,
      receipt,
    ]),
  )
  const receipts = places.flatMap((place, index) => {
    const receipt = place && found.get(`${place.chain}/${place.seq}`)
    return receipt ? [lineOf(receipt, from + index)] : []
  })
  const decoder = new TextDecoder()
  return [
    {
      type: 'bundle',
      n,
      leaves: Buffer.from(leaves).toString('base64'),
      proof: proof.map(hash => Buffer.from(hash).toString('base64')),
      entries: entries.map(entry => decoder.decode(entry)),
    },
    ...receipts,
  ]
}

const placeOf = (entry: Entry | undefined) =>
  entry && 'chain' in entry ? { chain: entry.chain, seq: entry.seq } : undefined

const lineOf = ({ body, secrets, columns, ...link }: FoundReceipt, leaf: number): ExportedReceipt => ({
  type: 'receipt',
  leaf,
  chain: link.chain,
  seq: link.seq,
  prev: link.prev,
  kind: link.kind,
  at: link.at,
  bodyCommit: link.bodyCommit,
  hash: link.hash,
  body: canonical(body) ?? body,
  secrets: parsed(secrets) ?? secrets,
  columns,
})

const parsed = (text: string) => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const canonical = (text: string): Body | undefined => {
  const value = parsed(text)
  return value !== undefined && jcs(value) === text ? value : undefined
}

/** Finds receipts in D1. */
export const inD1 =
  (db: D1Database, tenant: string): Finder =>
  async places => {
    const { results } = await db
      .prepare(
        `SELECT receipts.* FROM json_each(?1) AS sent
         CROSS JOIN receipts ON receipts.chain = sent.value->>0 AND receipts.seq = sent.value->>1
         WHERE receipts.tenant = ?2`,
      )
      .bind(JSON.stringify(places.map(({ chain, seq }) => [chain, seq])), tenant)
      .all<Row>()
    return results.map(row => {
      const { chain, seq, prev, kind, at, hash, body, secrets, agent } = row
      const link = { chain, seq, prev, kind, at, hash, bodyCommit: row.body_commit, body, secrets }
      const { evaluation_id, caller, user, action, resource, outcome, reason } = row
      return { ...link, columns: { agent, evaluation_id, caller, user, action, resource, outcome, reason } }
    })
  }

type Row = Omit<FoundReceipt, 'bodyCommit' | 'columns'> & Columns & { body_commit: string; agent: string | null }

/** Finds receipts where they were made, as far back as the agents' objects keep them. A chain has its object's name. */
export const inAgents =
  (agents: DurableObjectNamespace<AgentObject>): Finder =>
  async places => {
    const found = await Promise.all(
      [...Map.groupBy(places, ({ chain }) => chain)].map(async ([chain, wanted]) => {
        const seqs = wanted.map(({ seq }) => seq)
        const after = Math.min(...seqs) - 1
        const receipts = await agents.getByName(chain).receipts({ after, limit: Math.max(...seqs) - after })
        return receipts.map(receipt => ({ ...receipt, chain, columns: null }))
      }),
    )
    return found.flat()
  }

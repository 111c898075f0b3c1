import type { Handler } from '../../durable/due.ts'
import { addEntries, PUBLISH_MS, unpublished } from './append.ts'
import { entryText, writeBundle } from './entry.ts'
import { checkpointText, type NoteSignature, signatureLine } from './note.ts'
import type { LogSigner } from './signer.ts'
import { HASH_BYTES, hashesOf, hashRanges, type Tile, tilePath, WIDTH } from './tiles.ts'
import { type Hash, leafHash, treeHash } from './tree.ts'

/** What goes under one checkpoint at most: a backlog goes out in several. */
const MOST = 64 * WIDTH
/** Puts to the bucket that are under way at once; the platform allows six. */
const AT_ONCE = 6
/** How long checkpoints that no witness has signed are kept. */
const KEEP_MS = 7 * 86_400_000

export type PublishDeps = {
  /** Where the tiles go, and what every key begins with. */
  bucket: R2Bucket
  prefix: string
  /** Throws where the Worker has no key that may sign. */
  signer: (origin: string) => Promise<LogSigner>
  clock: () => number
}

/**
 * Makes the next checkpoint: tiles first, then the signature, then what says so. Entries are never changed once they
 * are written, so a checkpoint that is made again after a failure says the same.
 */
export const publishing = (storage: DurableObjectStorage, deps: PublishDeps): Handler => ({
  run: () => publish(storage, deps),
  next: () => {
    const left = unpublished(storage)
    return left === 0 ? undefined : deps.clock() + (left >= MOST ? 0 : PUBLISH_MS)
  },
})

/** The newest checkpoint as a note, with the signatures of those who have seen it. */
export const latestNote = ({ sql }: DurableObjectStorage): string | undefined => {
  const [row] = sql.exec<{ size: number; text: string; signatures: string }>(
    'SELECT size, text, signatures FROM checkpoint ORDER BY size DESC LIMIT 1',
  )
  if (!row) return undefined
  const lines = sql.exec<{ line: string }>('SELECT line FROM cosignature WHERE size = ? ORDER BY witness', row.size)
  return `${row.text}\n${row.signatures}${[...lines].map(({ line }) => line).join('')}`
}

export const putCheckpoint = async (
  storage: DurableObjectStorage,
  { bucket, prefix }: Pick<PublishDeps, 'bucket' | 'prefix'>,
): Promise<void> => {
  const note = latestNote(storage)
  if (note !== undefined) await bucket.put(`${prefix}checkpoint`, note)
}

type Growth = { tiles: { tile: Tile; bytes: Uint8Array }[]; edges: { level: number; n: number; hashes: Hash[] }[] }

const publish = async (storage: DurableObjectStorage, deps: PublishDeps): Promise<void> => {
  const { sql } = storage
  const { origin } = sql.exec<{ origin: string }>('SELECT origin FROM log').one()
  const signer = await deps.signer(origin)
  storage.transactionSync(() => noteSigner(storage, signer.vkey, deps.clock()))

  const log = sql.exec<{ size: number; published: number }>('SELECT size, published FROM log').one()
  const size = Math.min(log.size, log.published + MOST)
  // what failed after it was written is put again
  if (size === log.published) return putCheckpoint(storage, deps)
  const { tiles, edges } = grow(storage, log.published, size)
  await putAll(deps, tiles)
  const [root] = await hashRanges([[0, size]], size, async ({ level, n }) => {
    const hashes = edges.find(edge => edge.level === level && edge.n === n)?.hashes ?? readEdge(storage, level)?.hashes
    return join(hashes ?? [])
  })
  if (!root) throw new Error('a tree without a root')
  const text = checkpointText({ origin, size, root })
  const signature: NoteSignature = await signer.sign(text)
  const replaced = storage.transactionSync(() => {
    sql.exec(
      'INSERT INTO checkpoint (size, text, signatures, at) VALUES (?, ?, ?, ?)',
      size,
      text,
      signatureLine(signature),
      deps.clock(),
    )
    sql.exec('UPDATE log SET published = ?', size)
    sql.exec('DELETE FROM entry WHERE leaf < ?', size - (size % WIDTH))
    for (const { level, n, hashes } of edges) {
      if (level === 0) continue
      sql.exec(
        `INSERT INTO edge (level, n, hashes) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET n = excluded.n, hashes = excluded.hashes`,
        level,
        n,
        join(hashes),
      )
    }
    sql.exec(
      'DELETE FROM checkpoint WHERE at < ? AND size NOT IN (SELECT size FROM cosignature)',
      deps.clock() - KEEP_MS,
    )
    return replacedPartials(storage, tiles)
  })
  await putCheckpoint(storage, deps)
  if (replaced.length === 0) return
  await deps.bucket.delete(replaced.map(key => deps.prefix + key))
  sql.exec('DELETE FROM partial WHERE key IN (SELECT value FROM json_each(?))', JSON.stringify(replaced))
}

/** A key that signs for the first time says so in the log that it signs. */
const noteSigner = (storage: DurableObjectStorage, key: string, at: number): void => {
  const [known] = storage.sql.exec('SELECT leaf FROM signer WHERE key = ?', key)
  if (known) return
  const leaf = addEntries(storage, [entryText({ key, at })])
  storage.sql.exec('INSERT INTO signer (key, leaf) VALUES (?, ?)', key, leaf)
}

/** The tiles that come to be, or become wider, between two sizes, and the right edge of the tree after that. */
const grow = (storage: DurableObjectStorage, from: number, to: number): Growth => {
  const { sql } = storage
  const first = Math.floor(from / WIDTH)
  const entries = sql
    .exec<{ entry: ArrayBuffer }>(
      'SELECT entry FROM entry WHERE leaf >= ? AND leaf < ? ORDER BY leaf',
      first * WIDTH,
      to,
    )
    .toArray()
    .map(({ entry }) => new Uint8Array(entry))
  const growth: Growth = { tiles: [], edges: [] }
  for (const [n, run] of cut(entries, first)) {
    growth.tiles.push({ tile: { level: 'entries', n, width: run.length }, bytes: writeBundle(run) })
  }
  let level = 0
  let start = first
  let hashes = entries.map(leafHash)
  for (;;) {
    const full: Hash[] = []
    for (const [n, run] of cut(hashes, start)) {
      growth.tiles.push({ tile: { level, n, width: run.length }, bytes: join(run) })
      if (run.length === WIDTH) full.push(treeHash(run))
    }
    const rest = hashes.length % WIDTH
    growth.edges.push({ level, n: start + Math.floor(hashes.length / WIDTH), hashes: rest ? hashes.slice(-rest) : [] })
    if (full.length === 0) return growth
    level++
    const edge = readEdge(storage, level)
    start = edge?.n ?? 0
    hashes = [...(edge?.hashes ?? []), ...full]
  }
}

const readEdge = ({ sql }: DurableObjectStorage, level: number): { n: number; hashes: Hash[] } | undefined => {
  const [edge] = sql.exec<{ n: number; hashes: ArrayBuffer }>('SELECT n, hashes FROM edge WHERE level = ?', level)
  return edge && { n: edge.n, hashes: hashesOf(new Uint8Array(edge.hashes)) }
}

/** Runs of at most a tile's width, numbered from `first` on. */
const cut = <T>(items: readonly T[], first: number): [n: number, run: T[]][] =>
  Array.from({ length: Math.ceil(items.length / WIDTH) }, (_, index) => [
    first + index,
    items.slice(index * WIDTH, (index + 1) * WIDTH),
  ])

const join = (hashes: readonly Hash[]): Uint8Array => {
  const bytes = new Uint8Array(hashes.length * HASH_BYTES)
  for (const [index, hash] of hashes.entries()) bytes.set(hash, index * HASH_BYTES)
  return bytes
}

const putAll = async ({ bucket, prefix }: PublishDeps, tiles: Growth['tiles']): Promise<void> => {
  for (let at = 0; at < tiles.length; at += AT_ONCE) {
    const group = tiles.slice(at, at + AT_ONCE)
    await Promise.all(group.map(({ tile, bytes }) => bucket.put(prefix + tilePath(tile), bytes)))
  }
}

/** Notes the partial tiles that are in the bucket now; returns those whose full one is there too. */
const replacedPartials = ({ sql }: DurableObjectStorage, tiles: Growth['tiles']): string[] => {
  const replaced: string[] = []
  for (const { tile } of tiles) {
    const level = String(tile.level)
    if (tile.width < WIDTH) {
      sql.exec('INSERT OR IGNORE INTO partial (key, level, n) VALUES (?, ?, ?)', tilePath(tile), level, tile.n)
    } else {
      for (const { key } of sql.exec<{ key: string }>(
        'SELECT key FROM partial WHERE level = ? AND n = ?',
        level,
        tile.n,
      )) {
        replaced.push(key)
      }
    }
  }
  return replaced.slice(0, 1_000)
}

import { readBundle } from './entry.ts'
import { logPrefix } from './names.ts'
import { type Checkpoint, readCheckpoint, readNote } from './note.ts'
import { HASH_BYTES, hashRanges, type Tile, tilePath, WIDTH, widthAt } from './tiles.ts'
import { consistencyPath, type Hash, inclusionPath } from './tree.ts'

/**
 * A tenant's log as the bucket has it: all that readers need, without the log's object. With `published`, the size of a
 * checkpoint, trees of sizes that no checkpoint had can be read too, up to that one's.
 */
export type LogReader = { bucket: R2Bucket; tenant: string; published?: number }

/** A tile's body; `undefined` where there is none. One as narrow as that may never have been put, or be full by now. */
export const readTile = async (
  { bucket, tenant, published = 0 }: LogReader,
  tile: Tile,
): Promise<Uint8Array | undefined> => {
  const newest = widthAt(published, tile.level === 'entries' ? 0 : tile.level, tile.n)
  for (const width of new Set([tile.width, WIDTH, newest])) {
    if (width < tile.width) continue
    const found = await bucket.get(logPrefix(tenant) + tilePath({ ...tile, width }))
    if (found) return narrow(tile, new Uint8Array(await found.arrayBuffer()))
  }
  return undefined
}

/** The newest checkpoint, and the note that states it; `undefined` before the first. */
export const readLatest = async ({
  bucket,
  tenant,
}: LogReader): Promise<(Checkpoint & { note: string }) | undefined> => {
  const object = await bucket.get(`${logPrefix(tenant)}checkpoint`)
  const note = await object?.text()
  const checkpoint = readCheckpoint(readNote(note ?? '')?.text ?? '')
  return checkpoint && note !== undefined ? { ...checkpoint, note } : undefined
}

/** The proof that a leaf is in the tree of `size` leaves. */
export const inclusionProof = (log: LogReader, leaf: number, size: number): Promise<Hash[]> =>
  hashRanges(inclusionPath([leaf, leaf + 1], size), size, hashTiles(log))

/** The proof that the tree of `to` leaves continues that of `from`. */
export const consistencyProof = (log: LogReader, from: number, to: number): Promise<Hash[]> =>
  hashRanges(consistencyPath(from, to), to, hashTiles(log))

const hashTiles = (log: LogReader) => async (tile: Tile) => {
  const bytes = await readTile(log, tile)
  if (!bytes) throw new Error(`the bucket lacks ${tilePath(tile)}`)
  return bytes
}

/** The first `width` hashes or entries of a tile that is as wide or wider. */
const narrow = ({ level, width }: Tile, wide: Uint8Array): Uint8Array => {
  if (level !== 'entries') return wide.subarray(0, width * HASH_BYTES)
  const entries = readBundle(wide)?.slice(0, width) ?? []
  return wide.subarray(
    0,
    entries.reduce((sum, { length }) => sum + 2 + length, 0),
  )
}

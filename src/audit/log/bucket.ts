import { readBundle } from './entry.ts'
import { logPrefix } from './names.ts'
import { type Checkpoint, readCheckpoint, readNote } from './note.ts'
import { HASH_BYTES, hashRanges, type Tile, tilePath, WIDTH } from './tiles.ts'
import { consistencyPath, type Hash, inclusionPath } from './tree.ts'

/** A tenant's log as the bucket has it: all that readers need, without the log's object. */
export type LogReader = { bucket: R2Bucket; tenant: string }

/** A tile's body; `undefined` where there is none. A partial one may have become full since. */
export const readTile = async ({ bucket, tenant }: LogReader, tile: Tile): Promise<Uint8Array | undefined> => {
  const get = async (width: number) => bucket.get(logPrefix(tenant) + tilePath({ ...tile, width }))
  const exact = await get(tile.width)
  if (exact) return new Uint8Array(await exact.arrayBuffer())
  const full = tile.width < WIDTH ? await get(WIDTH) : null
  return full === null ? undefined : narrow(tile, new Uint8Array(await full.arrayBuffer()))
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

/** The first `width` hashes or entries of a full tile. */
const narrow = ({ level, width }: Tile, full: Uint8Array): Uint8Array => {
  if (level !== 'entries') return full.subarray(0, width * HASH_BYTES)
  const entries = readBundle(full)?.slice(0, width) ?? []
  return full.subarray(
    0,
    entries.reduce((sum, { length }) => sum + 2 + length, 0),
  )
}

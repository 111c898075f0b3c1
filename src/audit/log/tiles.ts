import { type Hash, type Range, rangeHash, treeHash } from './tree.ts'

/** Tiles of a log (C2SP tlog-tiles): runs of 256 hashes; at level 0 of leaves, above that of full tiles. */
export const WIDTH = 256
export const HASH_BYTES = 32

/** A tile at `level`, or a bundle of entries, of which the first `width` are meant. */
export type Tile = { level: number | 'entries'; n: number; width: number }

/** `tile/0/x001/067` and `tile/entries/000.p/17`. */
export const tilePath = ({ level, n, width }: Tile): string => {
  const digits = String(n).padStart(Math.ceil(String(n).length / 3) * 3, '0')
  const parts = digits.match(/\d{3}/g) ?? []
  const path = parts.map((part, index) => (index < parts.length - 1 ? `x${part}` : part)).join('/')
  return `tile/${level}/${path}${width < WIDTH ? `.p/${width}` : ''}`
}

/** `undefined` where the path isn't one that a tile has. */
export const readTilePath = (path: string): Tile | undefined => {
  const match = /^tile\/(entries|0|[1-5]?\d|6[0-3])\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path)
  if (!match) return undefined
  const [, level = '', index = '', width] = match
  const tile: Tile = {
    level: level === 'entries' ? level : Number(level),
    n: Number(index.replaceAll(/[x/]/g, '')),
    width: width === undefined ? WIDTH : Number(width),
  }
  // one tile, one path: no leading zeroes beyond what the padding asks for
  return tilePath(tile) === path ? tile : undefined
}

/** How much of a tile a tree of `size` leaves has: 0 to 256. */
export const widthAt = (size: number, level: number, n: number): number =>
  Math.max(0, Math.min(WIDTH, Math.floor(size / WIDTH ** level) - n * WIDTH))

/** The hashes of subtrees of a tree, from its tiles, of which each is read once. */
export const hashRanges = async (
  ranges: readonly Range[],
  size: number,
  read: (tile: Tile & { level: number }) => Promise<Uint8Array>,
): Promise<Hash[]> => {
  const tiles = new Map<string, Hash[]>()
  for (const { level, n } of ranges.flatMap(tilesOf)) {
    const key = `${level}/${n}`
    if (!tiles.has(key)) tiles.set(key, hashesOf(await read({ level, n, width: widthAt(size, level, n) })))
  }
  return ranges.map(range => rangeHash(range, (level, index) => completeHash(tiles, level, index)))
}

/** A tile's hashes apart. */
export const hashesOf = (tile: Uint8Array): Hash[] =>
  Array.from({ length: tile.length / HASH_BYTES }, (_, index) =>
    tile.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  )

/** Where in the tiles the hashes of a complete subtree stand: 2^(level mod 8) of them make it up. */
const placeOf = (level: number, index: number) => {
  const count = 2 ** (level % 8)
  const first = index * count
  return { level: Math.floor(level / 8), n: Math.floor(first / WIDTH), offset: first % WIDTH, count }
}

const completeHash = (tiles: ReadonlyMap<string, Hash[]>, level: number, index: number): Hash => {
  const place = placeOf(level, index)
  const hashes = tiles.get(`${place.level}/${place.n}`)?.slice(place.offset, place.offset + place.count) ?? []
  if (hashes.length < place.count) throw new Error(`the tile ${place.level}/${place.n} is too narrow`)
  return treeHash(hashes)
}

/** The tiles that a subtree's hash is made from. */
const tilesOf = (range: Range): { level: number; n: number }[] => {
  const found: { level: number; n: number }[] = []
  rangeHash(range, (level, index) => {
    found.push(placeOf(level, index))
    return new Uint8Array(HASH_BYTES)
  })
  return found
}

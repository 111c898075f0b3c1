import { expect, it } from 'vitest'
import { readTilePath, tilePath, widthAt } from '../../../src/audit/log/tiles.ts'
import {
  consistencyPath,
  type Hash,
  inclusionPath,
  isConsistent,
  leafHash,
  type Range,
  rootOf,
  treeHash,
} from '../../../src/audit/log/tree.ts'

const hex = (hash: Uint8Array | undefined) => Buffer.from(hash ?? []).toString('hex')

/** The inputs and roots that implementations of RFC 6962 are commonly tested with. */
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

const leaves = (count: number): Hash[] =>
  Array.from({ length: count }, (_, index) => leafHash(Buffer.from(String(index))))
const hashed = (hashes: Hash[], ranges: Range[]): Hash[] => ranges.map(([from, to]) => treeHash(hashes.slice(from, to)))
const bent = (hash: Hash): Hash => Uint8Array.from(hash, (byte, index) => (index === 7 ? byte ^ 1 : byte))

it('hashes trees as RFC 6962 does', () => {
  const hashes = INPUTS.map(input => leafHash(Buffer.from(input, 'hex')))
  expect(ROOTS.map((_, size) => hex(treeHash(hashes.slice(0, size))))).toEqual(ROOTS)
})

it('proves every leaf of every small tree, and nothing else', () => {
  for (let size = 1; size <= 40; size++) {
    const hashes = leaves(size)
    const root = treeHash(hashes)
    for (const [leaf, hash] of hashes.entries()) {
      const of: Range = [leaf, leaf + 1]
      const proof = hashed(hashes, inclusionPath(of, size))
      expect(hex(rootOf(of, hash, size, proof))).toBe(hex(root))
      expect(hex(rootOf(of, bent(hash), size, proof))).not.toBe(hex(root))
      expect(rootOf(of, hash, size, [...proof, root])).toBeUndefined()
      expect(rootOf([leaf + size, leaf + size + 1], hash, size, proof)).toBeUndefined()
      for (const index of proof.keys()) {
        const wrong = proof.map((sibling, at) => (at === index ? bent(sibling) : sibling))
        expect(hex(rootOf(of, hash, size, wrong))).not.toBe(hex(root))
      }
    }
  }
})

it('proves that trees continue one another, and no others', () => {
  for (let size = 0; size <= 33; size++) {
    const hashes = leaves(size)
    const newer = { size, root: treeHash(hashes) }
    for (let old = 0; old <= size; old++) {
      const older = { size: old, root: treeHash(hashes.slice(0, old)) }
      const proof = hashed(hashes, consistencyPath(old, size))
      expect(isConsistent(older, newer, proof)).toBe(true)
      expect(isConsistent(older, newer, [...proof, newer.root])).toBe(false)
      if (old > 0) expect(isConsistent({ ...older, root: bent(older.root) }, newer, proof)).toBe(false)
      if (old > 0) expect(isConsistent(older, { ...newer, root: bent(newer.root) }, proof)).toBe(false)
      if (old < size) expect(isConsistent(newer, older, proof)).toBe(false)
    }
  }
})

it('proves whole bundles by the same paths', () => {
  const hashes = leaves(700)
  const root = hex(treeHash(hashes))
  for (const of of [
    [0, 256],
    [256, 512],
    [512, 700],
  ] satisfies Range[]) {
    const proof = hashed(hashes, inclusionPath(of, 700))
    expect(hex(rootOf(of, treeHash(hashes.slice(...of)), 700, proof))).toBe(root)
  }
})

it('names tiles as tlog-tiles does', () => {
  expect(tilePath({ level: 0, n: 1_234_067, width: 256 })).toBe('tile/0/x001/x234/067')
  expect(tilePath({ level: 2, n: 0, width: 1 })).toBe('tile/2/000.p/1')
  expect(tilePath({ level: 'entries', n: 1_000, width: 17 })).toBe('tile/entries/x001/000.p/17')
  const tiles = [{ level: 5, n: 999, width: 256 } as const, { level: 'entries', n: 1_000_000, width: 255 } as const]
  for (const tile of tiles) expect(readTilePath(tilePath(tile))).toEqual(tile)
  for (const wrong of [
    'tile/64/000',
    'tile/0/000.p/256',
    'tile/0/000.p/0',
    'tile/0/x000/000',
    'tile/00/000',
    'tile/0/1',
  ])
    expect(readTilePath(wrong)).toBeUndefined()
  // the specification's own example: a tree of 70,000
  expect(
    [
      [0, 272],
      [0, 273],
      [0, 274],
      [1, 0],
      [1, 1],
      [2, 0],
    ].map(([level = 0, n = 0]) => widthAt(70_000, level, n)),
  ).toEqual([256, 112, 0, 256, 17, 1])
})

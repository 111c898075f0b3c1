import { createHash } from 'node:crypto'

/**
 * Merkle trees as RFC 6962, 2.1 has them, over SHA-256. A subtree is named by the leaves that it covers, so proofs are
 * lists of ranges, and whoever holds the tree hashes them.
 */
export type Range = readonly [from: number, to: number]
export type Hash = Uint8Array

/** The hash of one entry: 0x00 keeps leaves from passing as nodes. */
export const leafHash = (entry: Uint8Array): Hash => createHash('sha256').update(LEAF).update(entry).digest()

export const nodeHash = (left: Hash, right: Hash): Hash =>
  createHash('sha256').update(NODE).update(left).update(right).digest()

/** MTH: the root over leaf hashes, or over the roots of equal, complete subtrees. */
export const treeHash = (hashes: readonly Hash[]): Hash => {
  const [first] = hashes
  if (!first) return createHash('sha256').digest()
  if (hashes.length === 1) return first
  const k = split(hashes.length)
  return nodeHash(treeHash(hashes.slice(0, k)), treeHash(hashes.slice(k)))
}

/** The siblings that lead from a subtree up to the root of a tree of `size` leaves (2.1.1), from the bottom. */
export const inclusionPath = (of: Range, size: number): Range[] => {
  const path: Range[] = []
  let [from, to]: Range = [0, size]
  while (from !== of[0] || to !== of[1]) {
    if (of[0] < from || of[1] > to || to - from < 2) throw new RangeError(`[${of}) is no subtree of ${size} leaves`)
    const middle = from + split(to - from)
    if (of[1] <= middle) {
      path.push([middle, to])
      to = middle
    } else {
      path.push([from, middle])
      from = middle
    }
  }
  return path.reverse()
}

/** The root that an inclusion proof of a subtree leads to; `undefined` where the proof has another length. */
export const rootOf = (of: Range, hash: Hash, size: number, proof: readonly Hash[]): Hash | undefined => {
  if (!isSubtree(of, size)) return undefined
  const path = inclusionPath(of, size)
  if (path.length !== proof.length) return undefined
  return path.reduce((sum, [from], index) => {
    const sibling = proof[index] ?? sum
    return from < of[0] ? nodeHash(sibling, sum) : nodeHash(sum, sibling)
  }, hash)
}

/** The subtrees that prove that a tree of `size` leaves continues one of `old` (2.1.2). */
export const consistencyPath = (old: number, size: number): Range[] => (old === 0 ? [] : subproof(old, [0, size], true))

/** Whether a tree continues an older one. */
export const isConsistent = (
  older: { size: number; root: Hash },
  newer: { size: number; root: Hash },
  proof: readonly Hash[],
): boolean => {
  if (older.size > newer.size) return false
  if (older.size === 0) return proof.length === 0
  const rest = [...proof]
  const roots = bothRoots(older.size, newer.size, true, older.root, rest)
  return roots !== undefined && rest.length === 0 && same(roots[0], older.root) && same(roots[1], newer.root)
}

/** A subtree's hash from the hashes of the complete subtrees (of 2^level leaves, the index-th of those) that make it up. */
export const rangeHash = ([from, to]: Range, complete: (level: number, index: number) => Hash): Hash => {
  const level = Math.round(Math.log2(to - from))
  if (2 ** level === to - from && from % 2 ** level === 0) return complete(level, from / 2 ** level)
  const middle = from + split(to - from)
  return nodeHash(rangeHash([from, middle], complete), rangeHash([middle, to], complete))
}

export const same = (a: Hash, b: Hash): boolean => a.length === b.length && a.every((byte, index) => byte === b[index])

const LEAF = new Uint8Array([0])
const NODE = new Uint8Array([1])

/** The greatest power of two below `n`. */
const split = (n: number): number => {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

const isSubtree = (of: Range, size: number): boolean => {
  try {
    inclusionPath(of, size)
    return true
  } catch {
    return false
  }
}

const subproof = (old: number, [from, to]: Range, whole: boolean): Range[] => {
  if (old === to - from) return whole ? [] : [[from, to]]
  const k = split(to - from)
  return old <= k
    ? [...subproof(old, [from, from + k], whole), [from + k, to]]
    : [...subproof(old - k, [from + k, to], false), [from, from + k]]
}

/** The roots of the old and the new tree that a proof leads to. Takes what it uses from the front of `rest`. */
const bothRoots = (
  old: number,
  size: number,
  whole: boolean,
  root: Hash,
  rest: Hash[],
): [old: Hash, size: Hash] | undefined => {
  if (old === size) {
    const hash = whole ? root : rest.shift()
    return hash && [hash, hash]
  }
  const k = split(size)
  const below = old <= k ? bothRoots(old, k, whole, root, rest) : bothRoots(old - k, size - k, false, root, rest)
  const sibling = rest.shift()
  if (!below || !sibling) return undefined
  return old <= k ? [below[0], nodeHash(below[1], sibling)] : [nodeHash(sibling, below[0]), nodeHash(sibling, below[1])]
}

import { wrongBody } from './content.ts'
import { type Entry, readEntry } from './log/entry.ts'
import { type Checkpoint, isSignedBy, readCheckpoint, readNote, readVkey } from './log/note.ts'
import { type BundleLine, type Header, type ReceiptLine, readLine } from './log/read-line.ts'
import { hashesOf, WIDTH, widthAt } from './log/tiles.ts'
import { type Hash, isConsistent, leafHash, rootOf, same, treeHash } from './log/tree.ts'
import { GENESIS, linkHash } from './receipt.ts'

/** Something that doesn't hold, and which record it is. */
export type Finding = {
  problem: string
  /** The receipt's place, and the leaf of the log that stands for it, where they are known. */
  chain?: string
  seq?: number
  leaf?: number
}

/** What an export comes to. It is sound only where nothing was found. */
export type Verdict = {
  findings: Finding[]
  receipts: number
  chains: number
  /** What the log's signature was checked under, and the checkpoint that it covers. */
  checkpoint?: Checkpoint
  signedBy: string[]
  /** Leaves that the export covers. */
  from: number
  to: number
}

/** A checkpoint that was seen before, of the same log. */
export type Remembered = { size: number; root: Uint8Array }

export type Verifier = {
  /** Takes the next line of an export. */
  line: (text: string) => Promise<void>
  end: () => Promise<Verdict>
}

/**
 * Checks an export line by line, without a network and without the Worker: every receipt against its link, its link
 * against its chain and the log's entry, every entry against the tree, and the tree against a checkpoint signed with
 * one of `keys`. `remembered` are checkpoints of earlier times that this one must continue.
 */
export const createVerifier = (keys: readonly string[], remembered: readonly Remembered[] = []): Verifier => {
  const state: State = {
    keys,
    findings: [],
    header: undefined,
    next: 0,
    bundle: undefined,
    chains: new Map(),
    times: new Map(),
    receipts: 0,
    leaves: [],
    proofs: new Map(),
  }
  return {
    line: async text => take(state, text),
    end: async () => finish(state, remembered),
  }
}

/** An entry of the bundle in hand, whether its receipt has come, and what the receipt before it was. */
type Awaited = { entry: Entry | undefined; leaf: number; came: boolean; prev?: string | undefined }

type State = {
  keys: readonly string[]
  findings: Finding[]
  header: { line: Header; checkpoint: Checkpoint; signedBy: string[] } | undefined
  /** The bundle that has to come next. */
  next: number
  bundle: { entries: Awaited[]; last: number } | undefined
  /** By chain: what the log says of its last link. */
  chains: Map<string, { seq: number; hash: string }>
  /** By chain: when its last receipt was made. */
  times: Map<string, number>
  receipts: number
  /** All leaf hashes, for comparing with remembered checkpoints. */
  leaves: Hash[]
  proofs: Map<number, Hash[]>
}

const take = async (state: State, text: string): Promise<void> => {
  if (text.trim() === '') return
  const line = readLine(text)
  if (!line) return report(state, { problem: 'a line that is none of an export' })
  if (line.type === 'export') return takeHeader(state, line)
  if (!state.header) return report(state, { problem: 'the export does not begin with its header' })
  switch (line.type) {
    case 'bundle':
      return takeBundle(state, line)
    case 'consistency':
      state.proofs.set(line.from, line.proof.map(bytesOf))
      return
    case 'receipt':
      return takeReceipt(state, line)
  }
}

const report = ({ findings }: State, finding: Finding): void => {
  findings.push(finding)
}

const bytesOf = (base64: string): Uint8Array => Buffer.from(base64, 'base64')

const takeHeader = async (state: State, line: Header): Promise<void> => {
  if (state.header) return report(state, { problem: 'a second header' })
  const note = readNote(line.checkpoint)
  const checkpoint = readCheckpoint(note?.text ?? '')
  if (!note || !checkpoint) return report(state, { problem: 'the checkpoint is none' })
  const signedBy: string[] = []
  for (const key of state.keys) {
    const verifier = readVkey(key)
    if (verifier?.name === checkpoint.origin && (await isSignedBy(note, verifier))) signedBy.push(key)
  }
  if (signedBy.length === 0) report(state, { problem: 'the checkpoint is not signed with any of the keys given' })
  if (line.to > checkpoint.size || line.from % WIDTH !== 0)
    report(state, { problem: 'the export claims leaves that the checkpoint does not cover' })
  state.header = { line, checkpoint, signedBy }
  state.next = Math.floor(line.from / WIDTH)
}

const takeBundle = (state: State, line: BundleLine): void => {
  closeBundle(state)
  const { n } = line
  if (n !== state.next) {
    const names =
      n === state.next + 1 ? `bundle ${state.next} is missing` : `bundles up to ${n} are missing or out of order`
    report(state, { problem: `${names}: the receipts of its leaves can't be named`, leaf: state.next * WIDTH })
  }
  state.next = n + 1
  const checkpoint = state.header?.checkpoint
  if (!checkpoint) return
  const from = n * WIDTH
  const width = widthAt(checkpoint.size, 0, n)
  const leaves = hashesOf(bytesOf(line.leaves))
  const root = rootOf([from, from + width], treeHash(leaves), checkpoint.size, line.proof.map(bytesOf))
  if (leaves.length !== width || !root || !same(root, checkpoint.root)) {
    report(state, { problem: `the leaves ${from} to ${from + width - 1} are not those of the signed tree`, leaf: from })
  }
  state.leaves.push(...leaves)
  const entries = Array.from({ length: Math.max(width, line.entries.length) }, (_, index): Awaited => {
    const leaf = from + index
    const text = line.entries[index]
    const hash = leaves[index]
    const bytes = new TextEncoder().encode(text ?? '')
    if (text === undefined || !hash || !same(leafHash(bytes), hash)) {
      report(state, { problem: 'the entry is not the one that the signed tree has', leaf, ...placeIn(text) })
      return { entry: undefined, leaf, came: true }
    }
    const entry = readEntry(bytes)
    if (!entry) report(state, { problem: 'the entry says nothing that is known here', leaf })
    if (!entry || 'key' in entry) return { entry, leaf, came: true }
    return { entry, leaf, came: false, prev: follow(state, entry, leaf) }
  })
  state.bundle = { entries, last: -1 }
}

const placeIn = (text: string | undefined): { chain?: string; seq?: number } => {
  const entry = readEntry(new TextEncoder().encode(text ?? ''))
  return entry && 'chain' in entry ? { chain: entry.chain, seq: entry.seq } : {}
}

/** What is in the log and didn't come is missing. */
const closeBundle = (state: State): void => {
  for (const { entry, leaf, came } of state.bundle?.entries ?? []) {
    if (came || !entry || !('chain' in entry)) continue
    report(state, { problem: 'the receipt is missing', chain: entry.chain, seq: entry.seq, leaf })
  }
  state.bundle = undefined
}

const takeReceipt = (state: State, line: ReceiptLine): void => {
  const { chain, seq, leaf } = line
  state.receipts++
  const wrong = (problem: string) => report(state, { problem, chain, seq, leaf })
  const first = state.bundle?.entries[0]?.leaf ?? 0
  const awaited = state.bundle?.entries[leaf - first]
  const { entry } = awaited ?? {}
  if (!awaited || !entry || !('chain' in entry) || entry.chain !== chain || entry.seq !== seq) {
    wrong('the log has no such receipt there: it was put in, or moved')
    return
  }
  if (awaited.came) {
    wrong('the receipt is there twice')
    return
  }
  awaited.came = true
  if (state.bundle && leaf < state.bundle.last) wrong('the receipt is out of order')
  if (state.bundle) state.bundle.last = Math.max(state.bundle.last, leaf)

  const { prev, kind, at, bodyCommit, hash } = line
  // the link says which kinds there are; whatever this one claims to be is what its hash must cover
  const link = { v: 1 as const, chain, seq, prev, kind: kind as never, at, bodyCommit }
  if (linkHash(link) !== hash || hash !== entry.hash) wrong('the link is not the one that the log has')
  for (const problem of wrongBody(line, state.header?.line.tenant ?? '')) wrong(problem)
  if (awaited.prev !== undefined && prev !== awaited.prev) wrong('it does not continue the receipt before it')
  const before = state.times.get(chain) ?? 0
  if (at < before) wrong('it is older than the receipt before it')
  else state.times.set(chain, at)
}

/**
 * What the receipt of an entry must continue. What the log says of the one before counts, so that one bad receipt is
 * one. Unknown for the first of a chain, where the export doesn't begin with the log.
 */
const follow = (state: State, entry: Extract<Entry, { chain: string }>, leaf: number): string | undefined => {
  const { chain, seq, hash } = entry
  const before = state.chains.get(chain)
  state.chains.set(chain, { seq, hash })
  if (!before && state.header?.line.from !== 0) return undefined
  const last = before ?? { seq: 0, hash: GENESIS }
  if (seq !== last.seq + 1)
    report(state, { problem: `the log has the chain only up to ${last.seq} before it`, chain, seq, leaf })
  return last.hash
}

const finish = async (state: State, remembered: readonly Remembered[]): Promise<Verdict> => {
  closeBundle(state)
  const { header, findings } = state
  const { from = 0, to = 0 } = header?.line ?? {}
  if (!header) report(state, { problem: 'the export is empty' })
  else {
    const end = Math.ceil(to / WIDTH)
    if (state.next < end) report(state, { problem: `the export ends before leaf ${to}`, leaf: state.next * WIDTH })
    for (const old of remembered) compare(state, header.checkpoint, old, from)
  }
  return {
    findings,
    receipts: state.receipts,
    chains: state.chains.size,
    ...(header && { checkpoint: header.checkpoint }),
    signedBy: header?.signedBy ?? [],
    from,
    to,
  }
}

/** A log must only ever grow: what was signed before has to be the beginning of what is signed now. */
const compare = (state: State, checkpoint: Checkpoint, old: Remembered, from: number): void => {
  const proof = state.proofs.get(old.size)
  const holds =
    old.size === checkpoint.size
      ? same(old.root, checkpoint.root)
      : proof
        ? isConsistent(old, checkpoint, proof)
        : from === 0 && old.size <= state.leaves.length && same(treeHash(state.leaves.slice(0, old.size)), old.root)
  if (holds) return
  const problem =
    old.size > checkpoint.size
      ? `the log has shrunk: a checkpoint of ${old.size} leaves was seen before`
      : `the log was rewritten: it does not continue the checkpoint of ${old.size} leaves that was seen before`
  report(state, { problem })
}

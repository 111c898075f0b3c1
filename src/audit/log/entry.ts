import * as v from 'valibot'
import { jcs } from '../../durable/jcs.ts'

/**
 * What a leaf of the log stands for, as JSON text in JCS form: a receipt, by its place and its link's hash; or a key
 * that signs the log's checkpoints from there on.
 */
export const Entry = v.union([
  v.strictObject({ chain: v.string(), seq: v.number(), hash: v.string() }),
  v.strictObject({ key: v.string(), at: v.number() }),
])
export type Entry = v.InferOutput<typeof Entry>

export const writeEntry = (entry: Entry): Uint8Array => new TextEncoder().encode(entryText(entry))

export const entryText = (entry: Entry): string => jcs(entry)

export const readEntry = (bytes: Uint8Array): Entry | undefined => {
  try {
    const parsed = v.safeParse(
      Entry,
      JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)),
    )
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** Entries as tlog-tiles bundles them: each after its length, two bytes, the greater first. */
export const writeBundle = (entries: readonly Uint8Array[]): Uint8Array => {
  const bundle = new Uint8Array(entries.reduce((sum, { length }) => sum + 2 + length, 0))
  let at = 0
  for (const entry of entries) {
    bundle.set([entry.length >> 8, entry.length & 0xff], at)
    bundle.set(entry, at + 2)
    at += 2 + entry.length
  }
  return bundle
}

/** `undefined` where the lengths don't add up. */
export const readBundle = (bundle: Uint8Array): Uint8Array[] | undefined => {
  const entries: Uint8Array[] = []
  for (let at = 0; at < bundle.length; ) {
    const length = ((bundle[at] ?? 0) << 8) | (bundle[at + 1] ?? 0)
    const entry = bundle.subarray(at + 2, at + 2 + length)
    if (at + 2 + length > bundle.length) return undefined
    entries.push(entry)
    at += 2 + length
  }
  return entries
}

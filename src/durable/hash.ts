import { createHash } from 'node:crypto'
import { jcs } from './jcs.ts'

/** SHA-256 of UTF-8 text, base64url without padding. Synchronous, so that a transaction can link receipts with it. */
export const sha256 = (text: string): string => createHash('sha256').update(bytesOf(text)).digest('base64url')

/**
 * Read before the next text is written over it. In workerd this is faster than what `update` does with a string, and
 * leaves no buffer to be collected.
 */
const bytesOf = (text: string): Uint8Array =>
  text.length * MOST_BYTES_A_UNIT > SPACE.length
    ? utf8.encode(text)
    : SPACE.subarray(0, utf8.encodeInto(text, SPACE).written)

/** A unit of UTF-16 takes at most so many bytes of UTF-8. */
const MOST_BYTES_A_UNIT = 3
const SPACE = new Uint8Array(16_384)
const utf8 = new TextEncoder()

/** SHA-256 of the JCS form: how Countersign names content (arguments, bundles, receipts, intents). */
export const contentHash = (value: unknown): string => sha256(jcs(value))

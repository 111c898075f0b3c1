import { createHash } from 'node:crypto'
import { jcs } from './jcs.ts'

/** SHA-256 of UTF-8 text, base64url without padding. Synchronous, so that a transaction can link receipts with it. */
export const sha256 = (text: string): string => createHash('sha256').update(utf8.encode(text)).digest('base64url')

/** In workerd faster than what `update` does with a string: by a sixth for short texts, a quarter for long ones. */
const utf8 = new TextEncoder()

/** SHA-256 of the JCS form: how Countersign names content (arguments, bundles, receipts, intents). */
export const contentHash = (value: unknown): string => sha256(jcs(value))

import { createHash } from 'node:crypto'

/** Signed notes (C2SP signed-note) and the checkpoints that they carry (C2SP tlog-checkpoint). */
export type Note = { text: string; signatures: NoteSignature[] }
/** `id` are the four bytes that tell keys of one name apart. */
export type NoteSignature = { name: string; id: Uint8Array; signature: Uint8Array }

/** A public key as notes name it. `type` says what it signs: see `signatureTypes`. */
export type Verifier = { name: string; type: number; id: Uint8Array; key: Uint8Array }

export type Checkpoint = { origin: string; size: number; root: Uint8Array }

/** Signed-note, Signature types: Ed25519 over the text; Ed25519 over text and time, by a witness. */
export const signatureTypes = { ed25519: 0x01, cosignature: 0x04 } as const

export const verifierOf = (name: string, type: number, key: Uint8Array): Verifier => ({
  name,
  type,
  key,
  id: createHash('sha256')
    .update(`${name}\n`)
    .update(new Uint8Array([type]))
    .update(key)
    .digest()
    .subarray(0, 4),
})

/** `name+id+key`, as notes' keys are handed around. */
export const vkeyOf = ({ name, type, id, key }: Verifier): string =>
  `${name}+${Buffer.from(id).toString('hex')}+${Buffer.from([type, ...key]).toString('base64')}`

/** `undefined` where the text is no verifier key, or its id isn't its own. */
export const readVkey = (text: string): Verifier | undefined => {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text)
  if (!match) return undefined
  const [, name = '', id = '', base64 = ''] = match
  const [type = 0, ...key] = Buffer.from(base64, 'base64')
  const verifier = verifierOf(name, type, Uint8Array.from(key))
  return Buffer.from(verifier.id).toString('hex') === id ? verifier : undefined
}

export const checkpointText = ({ origin, size, root }: Checkpoint): string =>
  `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`

/** The checkpoint that a note's text states. Extension lines are none of ours and are passed over. */
export const readCheckpoint = (text: string): Checkpoint | undefined => {
  const match = /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n([^\n]+\n)*$/.exec(text)
  if (!match) return undefined
  const [, origin = '', size = '', root = ''] = match
  return { origin, size: Number(size), root: Buffer.from(root, 'base64') }
}

export const signatureLine = ({ name, id, signature }: NoteSignature): string =>
  `— ${name} ${Buffer.from([...id, ...signature]).toString('base64')}\n`

export const writeNote = (text: string, signatures: readonly NoteSignature[]): string =>
  `${text}\n${signatures.map(signatureLine).join('')}`

export const readNote = (note: string): Note | undefined => {
  const at = note.lastIndexOf('\n\n')
  if (at < 0 || note.length > MOST_CHARS || hasControls(note)) return undefined
  const signatures = readSignatures(note.slice(at + 2))
  return signatures && { text: note.slice(0, at + 1), signatures }
}

/** Signature lines alone, as a witness answers. `undefined` where there is none, or something else between them. */
export const readSignatures = (lines: string): NoteSignature[] | undefined => {
  if (!lines.endsWith('\n')) return undefined
  const read = lines.slice(0, -1).split('\n').map(readSignature)
  const whole = read.filter(signature => signature !== undefined)
  return whole.length === read.length && whole.length <= MOST_SIGNATURES ? whole : undefined
}

/** Whether the note bears a valid signature of the key. */
export const isSignedBy = async ({ text, signatures }: Note, verifier: Verifier): Promise<boolean> => {
  if (verifier.type !== signatureTypes.ed25519) return false
  const found = signatures.find(signature => isOf(signature, verifier))
  return found !== undefined && (await verifyEd25519(verifier.key, found.signature, new TextEncoder().encode(text)))
}

/** When (seconds) a witness says that it saw the checkpoint (C2SP tlog-cosignature); `undefined` where it doesn't. */
export const cosignedAt = async (
  text: string,
  { signature: timed }: NoteSignature,
  verifier: Verifier,
): Promise<number | undefined> => {
  if (verifier.type !== signatureTypes.cosignature || timed.length !== 72) return undefined
  const time = Buffer.from(timed.subarray(0, 8)).readBigUInt64BE()
  if (time === 0n || time > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
  const message = new TextEncoder().encode(`cosignature/v1\ntime ${time}\n${text}`)
  return (await verifyEd25519(verifier.key, timed.subarray(8), message)) ? Number(time) : undefined
}

export const isOf = ({ name, id }: NoteSignature, verifier: Verifier): boolean =>
  name === verifier.name && id.every((byte, index) => byte === verifier.id[index])

const MOST_CHARS = 64 * 1024
const MOST_SIGNATURES = 64

const hasControls = (text: string): boolean => {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) < 0x20 && text[at] !== '\n') return true
  return false
}

const readSignature = (line: string): NoteSignature | undefined => {
  const match = /^— ([^\s+]+) ([A-Za-z0-9+/]+=*)$/u.exec(line)
  if (!match) return undefined
  const [, name = '', base64 = ''] = match
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length > 4 ? { name, id: bytes.subarray(0, 4), signature: bytes.subarray(4) } : undefined
}

const verifyEd25519 = async (key: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> => {
  if (key.length !== 32 || signature.length !== 64) return false
  try {
    const imported = await crypto.subtle.importKey('raw', Uint8Array.from(key), { name: 'Ed25519' }, false, ['verify'])
    return await crypto.subtle.verify(
      { name: 'Ed25519' },
      imported,
      Uint8Array.from(signature),
      Uint8Array.from(message),
    )
  } catch {
    // bytes that are no point of the curve
    return false
  }
}

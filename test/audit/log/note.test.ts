import { expect, it } from 'vitest'
import {
  checkpointText,
  cosignedAt,
  isSignedBy,
  readCheckpoint,
  readNote,
  readSignatures,
  readVkey,
  signatureTypes,
  verifierOf,
  vkeyOf,
  writeNote,
} from '../../../src/audit/log/note.ts'

/** The example of C2SP signed-note. */
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`

it('verifies the specification’s example, and not a changed one', async () => {
  const verifier = readVkey(VKEY)
  const note = readNote(NOTE)
  if (!verifier || !note) throw new Error('not read')
  expect(vkeyOf(verifier)).toBe(VKEY)
  expect(writeNote(note.text, note.signatures)).toBe(NOTE)
  expect(await isSignedBy(note, verifier)).toBe(true)
  expect(await isSignedBy({ ...note, text: note.text.replace('example', 'exampel') }, verifier)).toBe(false)
  expect(await isSignedBy(note, { ...verifier, name: 'example.com/bar' })).toBe(false)
})

it('refuses what is no note or key', () => {
  expect(readVkey(VKEY.replace('530d903a', '530d903b'))).toBeUndefined()
  expect(readVkey('example.com/foo')).toBeUndefined()
  for (const wrong of ['', 'text\n', NOTE.slice(0, -1), NOTE.replace('— ', '- '), `\t${NOTE}`, `${NOTE}more\n`])
    expect(readNote(wrong)).toBeUndefined()
})

it('reads checkpoints exactly', () => {
  const root = new Uint8Array(32).fill(7)
  const text = checkpointText({ origin: 'example.com/log', size: 20_852_163, root })
  expect(readCheckpoint(text)).toEqual({ origin: 'example.com/log', size: 20_852_163, root: Buffer.from(root) })
  expect(readCheckpoint(`${text}an extension\n`)?.size).toBe(20_852_163)
  for (const wrong of [
    'a\n01\n',
    text.replace('20852163', '020852163'),
    text.slice(0, -1),
    text.replace('=', ''),
    `\n${text}`,
  ])
    expect(readCheckpoint(wrong)).toBeUndefined()
})

it('takes a witness at its word only with time and signature', async () => {
  const { privateKey, publicKey } = (await crypto.subtle.generateKey('Ed25519', true, [
    'sign',
    'verify',
  ])) as CryptoKeyPair
  const raw = new Uint8Array((await crypto.subtle.exportKey('raw', publicKey)) as ArrayBuffer)
  const witness = verifierOf('witness.example/w1', signatureTypes.cosignature, raw)
  const text = checkpointText({ origin: 'example.com/log', size: 5, root: new Uint8Array(32) })
  const time = 1_679_315_147
  const message = new TextEncoder().encode(`cosignature/v1\ntime ${time}\n${text}`)
  const timestamp = Buffer.alloc(8)
  timestamp.writeBigUInt64BE(BigInt(time))
  const signature = Buffer.concat([timestamp, new Uint8Array(await crypto.subtle.sign('Ed25519', privateKey, message))])
  const line = { name: witness.name, id: witness.id, signature }
  expect(await cosignedAt(text, line, witness)).toBe(time)
  expect(await cosignedAt(text.replace('5', '6'), line, witness)).toBeUndefined()
  expect(
    await cosignedAt(text, { ...line, signature: signature.with(7, (signature[7] ?? 0) ^ 1) }, witness),
  ).toBeUndefined()
  expect(readSignatures(writeNote('', [line]).slice(1))).toHaveLength(1)
})

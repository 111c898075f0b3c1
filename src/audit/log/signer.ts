import { base64url } from 'jose'
import { publicJwks, type SigningEnv, signer } from '../../identity/keys.ts'
import { type NoteSignature, signatureTypes, type Verifier, verifierOf, vkeyOf } from './note.ts'

/** What signs checkpoints: the Worker's own Ed25519 key, under the log's name. */
export type LogSigner = { vkey: string; sign: (text: string) => Promise<NoteSignature> }

/**
 * The key that signs permits signs checkpoints too: neither's input can be the other's, since a note's text has line
 * breaks and a JWS's has none. Throws where it isn't an Ed25519 key, which C2SP's logs need.
 */
export const logSigner = async (env: SigningEnv, origin: string): Promise<LogSigner> => {
  const { kid, key } = await signer(env)
  const verifier = (await logVerifiers(env, origin)).find(other => other.kid === kid)
  if (!verifier) throw new Error('the first key of SIGNING_KEYS must be an Ed25519 key: it signs the log')
  const { name, id } = verifier
  return {
    vkey: vkeyOf(verifier),
    sign: async text => ({
      name,
      id,
      signature: new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, key, new TextEncoder().encode(text))),
    }),
  }
}

/** The public keys that may have signed the log's checkpoints, retired ones included. */
export const logVerifiers = async (env: SigningEnv, origin: string): Promise<(Verifier & { kid: string })[]> => {
  const { keys } = await publicJwks(env)
  return keys.flatMap(({ kty, kid, x }) =>
    kty === 'OKP' && kid !== undefined && x !== undefined
      ? [{ ...verifierOf(origin, signatureTypes.ed25519, base64url.decode(x)), kid }]
      : [],
  )
}

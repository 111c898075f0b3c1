import { base64url } from 'jose'

/**
 * Seals a text under the key-encryption key (AES-256-GCM), tied to what it is the secret of: key id, nonce and
 * ciphertext, dots between. `keys`: base64url, 32 bytes each, commas between. The first seals, all open: so the key itself can
 * be replaced.
 */
export const seal = async (keys: string, text: string, context: readonly string[]): Promise<string> => {
  const [first] = await load(keys)
  if (!first) throw new Error('KEY_ENCRYPTION_KEY holds no key')
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const data = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: bound(context) },
    first.key,
    new TextEncoder().encode(text),
  )
  return [first.kid, base64url.encode(iv), base64url.encode(new Uint8Array(data))].join('.')
}

/** Throws where it was sealed by another key, for something else, or changed. */
export const open = async (keys: string, sealed: string, context: readonly string[]): Promise<string> => {
  const [kid, iv = '', data = ''] = sealed.split('.')
  const key = (await load(keys)).find(known => known.kid === kid)
  if (!key) throw new Error('KEY_ENCRYPTION_KEY does not hold the key that sealed this secret')
  const text = await crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: base64url.decode(iv), additionalData: bound(context) },
    key.key,
    base64url.decode(data),
  )
  return new TextDecoder().decode(text)
}

const bound = (context: readonly string[]): Uint8Array => new TextEncoder().encode(JSON.stringify(context))

const load = (keys: string): Promise<{ kid: string; key: CryptoKey }[]> =>
  Promise.all(
    keys.split(',').map(async text => {
      // Errors never quote: the text is a secret.
      const bytes = /^[\w-]{43}$/.test(text.trim()) ? base64url.decode(text.trim()) : undefined
      if (!bytes) throw new Error('KEY_ENCRYPTION_KEY is not a list of keys of 32 bytes in base64url')
      const digest = await crypto.subtle.digest('SHA-256', bytes)
      const key = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
      return { kid: base64url.encode(new Uint8Array(digest).slice(0, 6)), key }
    }),
  )

import { createHmac, randomBytes } from 'node:crypto'
import { base64url } from 'jose'
import { LRUCache } from 'lru-cache'
import { open, seal } from '../../durable/envelope.ts'

/**
 * Keys of subjects, each under the key-encryption key in D1. An isolate remembers those that it used for a minute, so
 * most decisions read nothing, and an erasure holds everywhere after that.
 */
export type Vault = {
  /** What stands for a text that is searched by, in place of it. */
  blind: (text: string) => Promise<string>
  /** The subject's key, made where there is none. */
  keyFor: (blind: string) => Promise<CryptoKey>
  /** The subject's key; `undefined` once it was erased. */
  keyOf: (blind: string) => Promise<CryptoKey | undefined>
  /** What stands for the subject as long as their key does; without the key nobody can tell whose it was. */
  pseudonym: (blind: string) => Promise<string>
  /** Says whether there was one. */
  erase: (blind: string) => Promise<boolean>
}

export type VaultEnv = { DB: D1Database; KEY_ENCRYPTION_KEY: string }

const remembered = new LRUCache<string, { key: string; crypto?: CryptoKey }>({ max: 10_000, ttl: 60_000 })
const BLIND = ''

export const vaultOf = ({ DB: db, KEY_ENCRYPTION_KEY: keys }: VaultEnv, tenant: string, now: number): Vault => {
  const place = (subject: string) => JSON.stringify([tenant, subject])
  const read = async (subject: string): Promise<string | undefined> => {
    const known = remembered.get(place(subject))
    if (known) return known.key
    const row = await db
      .prepare('SELECT sealed FROM subject_keys WHERE tenant = ? AND subject = ?')
      .bind(tenant, subject)
      .first<{ sealed: string }>()
    if (!row) return undefined
    const key = await open(keys, row.sealed, ['subject', tenant, subject])
    remembered.set(place(subject), { key })
    return key
  }
  const make = async (subject: string): Promise<string> => {
    const known = await read(subject)
    if (known !== undefined) return known
    const sealed = await seal(keys, randomBytes(32).toString('base64url'), ['subject', tenant, subject])
    await db
      .prepare('INSERT INTO subject_keys (tenant, subject, sealed, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')
      .bind(tenant, subject, sealed, now)
      .run()
    const made = await read(subject)
    if (made === undefined) throw new Error('the key of a subject was erased while it was made')
    return made
  }
  const cryptoKey = async (subject: string, key: string): Promise<CryptoKey> => {
    const known = remembered.get(place(subject))
    if (known?.crypto) return known.crypto
    const crypto_ = await crypto.subtle.importKey('raw', base64url.decode(key), 'AES-GCM', false, [
      'encrypt',
      'decrypt',
    ])
    if (known) known.crypto = crypto_
    return crypto_
  }
  return {
    blind: async text =>
      createHmac('sha256', await make(BLIND))
        .update(text)
        .digest('base64url'),
    keyFor: async subject => cryptoKey(subject, await make(subject)),
    keyOf: async subject => {
      const key = await read(subject)
      return key === undefined ? undefined : cryptoKey(subject, key)
    },
    pseudonym: async subject =>
      createHmac('sha256', await make(subject))
        .update('pseudonym')
        .digest('base64url'),
    erase: async subject => {
      if (subject === BLIND) throw new Error('not a subject')
      remembered.delete(place(subject))
      const { meta } = await db
        .prepare('DELETE FROM subject_keys WHERE tenant = ? AND subject = ?')
        .bind(tenant, subject)
        .run()
      return meta.changes > 0
    },
  }
}

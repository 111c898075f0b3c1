import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import * as v from 'valibot'
import type { Bundle } from '../policy/bundle.ts'
import { roles } from '../policy/roles.ts'
import type { Issuer } from '../policy/tenant.ts'
import { CommandError } from './exit.ts'
import { root } from './root.ts'

/** The issuer of `countersign token`. A local push adds it to the bundle; no Worker but a local one takes such a bundle. */
export const DEVELOPMENT_ISSUER = 'urn:countersign:development'

export const issuerKeyPath = join(root, '.local', 'issuer.jwk.json')

const PrivateKey = v.strictObject({
  kty: v.literal('OKP'),
  crv: v.literal('Ed25519'),
  x: v.string(),
  d: v.string(),
})

/** The development issuer's key of this machine, made where there is none yet. */
export const issuerKey = async (path = issuerKeyPath): Promise<{ key: JWK; kid: string; made: boolean }> => {
  const made = !existsSync(path)
  if (made) writeSecret(path, JSON.stringify(await newKey(), null, 2))
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    json = undefined
  }
  const key = v.safeParse(PrivateKey, json)
  if (!key.success)
    throw new CommandError(`${path} is not an Ed25519 key`, undefined, 'delete it and run `countersign setup`')
  return { key: key.output, kid: await calculateJwkThumbprint(key.output), made }
}

/** A new Ed25519 key with its private half. */
export const newKey = async (): Promise<JWK> => {
  const { privateKey } = await generateKeyPair('Ed25519', { extractable: true })
  const { kty, crv, x, d } = await exportJWK(privateKey)
  return { kty, crv, x, d } as JWK
}

/** Never over a file that is there, and for its owner's eyes only. */
export const writeSecret = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, `${text}\n`, { flag: 'wx', mode: 0o600 })
}

/** The bundle as a local push stores it. */
export const withDevelopmentIssuer = async (bundle: Bundle): Promise<Bundle> => {
  const { key, kid } = await issuerKey()
  const taken = bundle.settings.issuers.find(({ id, iss }) => id === 'development' || iss === DEVELOPMENT_ISSUER)
  if (taken !== undefined)
    throw new CommandError(`the issuer ${taken.id} has a name that is kept for the development issuer`)
  const issuer: Issuer = {
    id: 'development',
    iss: DEVELOPMENT_ISSUER,
    algorithms: ['EdDSA'],
    jwks: { keys: [{ kty: key.kty, crv: key.crv, x: key.x, kid, use: 'sig' }] },
    roles: { allowed: [...roles], claim: 'roles', default: [] },
    skew: 30,
    max_age: 86_400,
    development: true,
  }
  return { ...bundle, settings: { ...bundle.settings, issuers: [...bundle.settings.issuers, issuer] } }
}

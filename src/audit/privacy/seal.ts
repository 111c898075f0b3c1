import { base64url } from 'jose'
import type { EntityUid } from '../../cedar/json.ts'
import { jcs } from '../../durable/jcs.ts'
import { uidText } from '../../identity/uid.ts'
import type { Privacy } from '../../policy/tenant.ts'
import { textOf } from '../columns.ts'
import { isSealed, type Sealed, type Secret, type Secrets } from '../receipt.ts'
import type { Vault } from './vault.ts'

/** The entities that a receipt's data can be about. */
export type Subjects = { user?: EntityUid; resource: EntityUid }

/** Fields whose texts are columns that the record is searched by. */
const SEARCHED = new Set(['caller', 'user', 'resource'])

/**
 * Encrypts what the tenant marks as personal under the key of whom it is about. The body commits to salt and value, so
 * both go under the key: with the salt alone a guess could be proven. Throws where no key can be had.
 */
export const sealSecrets = async (
  secrets: Secrets,
  subjects: Subjects,
  privacy: Privacy | undefined,
  vault: Vault,
): Promise<Secrets> => {
  const owners = ownersOf(subjects, privacy)
  const sealed = await Promise.all(
    Object.entries(secrets).map(async ([name, secret]) => {
      const owner = owners.get(name)
      return [
        name,
        owner === undefined || isSealed(secret) ? secret : await sealOne(name, secret, owner, vault),
      ] as const
    }),
  )
  return Object.fromEntries(sealed)
}

/** The same for what humans said about a request: all of it under the key of whom that is about. */
export const sealAll = async (secrets: Record<string, Secret>, owner: EntityUid, vault: Vault): Promise<Secrets> =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(secrets).map(async ([name, secret]) => [name, await sealOne(name, secret, owner, vault)] as const),
    ),
  )

/** Whom a request is about, where the tenant marks anything of it as personal. */
export const ownerOf = (subjects: Subjects, privacy: Privacy | undefined): EntityUid | undefined =>
  ownersOf(subjects, privacy).values().next().value

/** Without what would have been sealed: for when it can't be. */
export const withoutPersonal = (secrets: Secrets, subjects: Subjects, privacy: Privacy | undefined): Secrets => {
  const owners = ownersOf(subjects, privacy)
  return Object.fromEntries(Object.entries(secrets).filter(([name]) => !owners.has(name)))
}

export const hasPersonal = (subjects: Subjects, privacy: Privacy | undefined): boolean =>
  ownersOf(subjects, privacy).size > 0

/** What can still be opened, in clear; what can't is left out, as if it had been erased with its key. */
export const openSecrets = async (secrets: Secrets, vault: Vault): Promise<Record<string, Secret>> => {
  const opened = await Promise.all(
    Object.entries(secrets).map(async ([name, secret]) => {
      const clear = isSealed(secret) ? await openOne(name, secret, vault) : secret
      return clear ? [[name, clear] as const] : []
    }),
  )
  return Object.fromEntries(opened.flat())
}

/** By field: whom it is about. The first rule that fits counts; what arguments hold, their hash gives away. */
const ownersOf = ({ user, resource }: Subjects, privacy: Privacy | undefined): Map<string, EntityUid> => {
  const owners = new Map<string, EntityUid>()
  for (const { of, types, fields } of privacy?.personal ?? []) {
    const subject = of === 'user' ? user : resource
    if (!subject || (types && !types.includes(subject.type))) continue
    const all: string[] = fields.includes('arguments') ? [...fields, 'action_hash'] : fields
    for (const field of all) if (!owners.has(field)) owners.set(field, subject)
  }
  return owners
}

/** Whether a column holds, for such a text, what stands for it. */
export const isSearchedBlind = (field: 'user' | 'resource', text: string, privacy: Privacy | undefined): boolean => {
  const type = text.slice(0, text.indexOf('::"'))
  return (privacy?.personal ?? []).some(
    ({ of, types, fields }) => fields.includes(field) && (of !== field || !types || types.includes(type)),
  )
}

const sealOne = async (name: string, { salt, value }: Secret, owner: EntityUid, vault: Vault): Promise<Sealed> => {
  const subject = await vault.blind(uidText(owner))
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const data = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: bound(name, subject) },
    await vault.keyFor(subject),
    new TextEncoder().encode(jcs([salt, value])),
  )
  const text = SEARCHED.has(name) ? textOf(value) : null
  return {
    sealed: `${base64url.encode(iv)}.${base64url.encode(new Uint8Array(data))}`,
    subject,
    ...(text !== null && { blind: await vault.blind(text) }),
  }
}

const openOne = async (name: string, { sealed, subject }: Sealed, vault: Vault): Promise<Secret | undefined> => {
  const key = await vault.keyOf(subject)
  const [iv = '', data = ''] = sealed.split('.')
  if (!key) return undefined
  try {
    const algorithm = { name: 'AES-GCM', iv: base64url.decode(iv), additionalData: bound(name, subject) }
    const text = new TextDecoder().decode(await crypto.subtle.decrypt(algorithm, key, base64url.decode(data)))
    const [salt, value] = JSON.parse(text)
    return { salt, value }
  } catch {
    // a key that was made after the one that sealed this was erased
    return undefined
  }
}

const bound = (name: string, subject: string): Uint8Array => new TextEncoder().encode(JSON.stringify([name, subject]))

import { expect, it } from 'vitest'
import { sha256 } from '../../src/durable/hash.ts'
import { nameOf } from '../../src/durable/names.ts'

/** Tenants enough that names of each kind begin with every letter of base64url. */
const tenants = Array.from({ length: 2_000 }, (_, number) => `tenant-${number}`)
const plain = (kind: string, tenant: string) => sha256(JSON.stringify([kind, tenant]))
const dashed = (kind: string) => tenants.filter(tenant => plain(kind, tenant).startsWith('-'))

it.each(['pointer', 'bundle'] as const)('a key that is pushed can stand on a command line: %s', kind => {
  expect(dashed(kind)).not.toEqual([])
  for (const tenant of tenants) {
    const hash = plain(kind, tenant)
    expect(nameOf(kind, tenant)).toBe(hash.startsWith('-') ? `_${hash}` : hash)
  }
})

it.each(['agent', 'escalation', 'epoch'] as const)('a name under which something is kept stays as it is: %s', kind => {
  expect(dashed(kind)).not.toEqual([])
  for (const tenant of dashed(kind)) expect(nameOf(kind, tenant)).toBe(plain(kind, tenant))
})

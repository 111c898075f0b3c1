import { expect, it } from 'vitest'
import { jcs } from '../../src/durable/jcs.ts'
import type { FactRecord } from '../../src/facts/record.ts'
import { claimsIn, recordsIn, type Written, written } from '../../src/facts/written.ts'
import { jcs as jcsAnew, sha256 } from '../decision/jcs.ts'

const known = async (name: string, more: Partial<FactRecord> & { from?: 'ledger' | 'cache' } = {}) => {
  const { from = 'cache', ...record } = more
  const hash = await sha256(name)
  const id = await sha256(JSON.stringify(['orders', hash]))
  return { facts: [{ from, hash, id, source: 'orders' }], name, status: 'verified', ...record } satisfies FactRecord
}

const stored = (records: readonly FactRecord[]): Written[] => JSON.parse(JSON.stringify(written(records)))

it('gives back what was written, name by name', async () => {
  const named = await known('c', { claimed: 'x' })
  const { facts: _, ...rest } = named
  const records: FactRecord[] = [
    await known('b', { claimed: { z: 1, a: 2 } }),
    await known('a', { claimed: null }),
    { ...rest, facts: named.facts.map(fact => ({ ...fact, id: 'order 7', named: true })) },
    await known('d', { from: 'ledger', status: 'known' }),
    {
      claimed: 9,
      facts: [{ from: 'cache', hash: 'h', id: 'i', observed_at: 1, source: 'orders', valid_until: 2, value: 90 }],
      name: 'e',
      status: 'contradicted',
    },
    { entity: { id: 'o-1', type: 'Order' }, facts: [], name: 'f', status: 'unsupported' },
  ]
  const read = recordsIn(stored(records))
  const plain = records.map(record => ({
    ...record,
    facts: record.facts.map(({ named: _, ...fact }) => fact),
  }))
  expect(read.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(
    plain.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  )
  expect(claimsIn({ facts: { value: stored(records) } }).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'e'])
})

it('writes an id only where it does not follow from the hash', async () => {
  const plain = await known('a')
  const [own] = plain.facts.map(fact => ({ ...fact, id: 'order 7', named: true as const }))
  const text = JSON.stringify(written([plain, { ...plain, name: 'b', facts: own ? [own] : [] }]))
  expect(text).not.toContain(plain.facts[0]?.id)
  expect(text).toContain('"order 7"')
})

it('is in order as it is hashed, whatever order the agent claimed in', async () => {
  const names = ['zeta', 'alpha', '10', '9', 'Beta', 'é']
  const records = await Promise.all(names.map(name => known(name, { claimed: name })))
  expect(jcs(written(records))).toBe(jcsAnew(written(records)))
  expect(JSON.stringify(written(records))).toBe(JSON.stringify(written(records.toReversed())))
})

it('reads receipts of before, which cite each fact for itself, and those that hold none', async () => {
  const records = [await known('b', { claimed: 1 }), await known('a')]
  expect(recordsIn(JSON.parse(JSON.stringify(records)))).toEqual(records)
  expect(claimsIn({ facts: { value: records } })).toEqual(records.slice(0, 1))
  expect(claimsIn({})).toEqual([])
  expect(claimsIn({ facts: { sealed: 'under a key' } })).toEqual([])
})

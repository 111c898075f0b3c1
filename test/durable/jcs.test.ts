import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jcs } from '../../src/durable/jcs.ts'

/** Members in the order of their names, as those are that JSON can be written of at once. */
const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(sorted.map(([name, member]) => [name, inOrder(member)]))
}

const names = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('1', '10', '9', '', 'é', '\u{1F600}', '￿'))
const values = fc.letrec(tie => ({
  value: fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom(null, true, false, -0, 1e21, 1e-7, '\u2028', '"\\\u0000'),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(names, tie('value'), { maxKeys: 5 }),
  ),
})).value

describe('jcs', () => {
  it('writes what the reference writes, in whatever order members come', () => {
    fc.assert(
      fc.property(values, value => {
        expect(jcs(value)).toBe(canonicalize(value))
        expect(jcs(inOrder(value))).toBe(canonicalize(value))
      }),
      { numRuns: 2_000 },
    )
  })

  it('takes names that look like numbers as names', () => {
    expect(jcs({ 10: 'a', 9: 'b' })).toBe('{"10":"a","9":"b"}')
    expect(jcs({ 1: 'a', 10: 'b', 9: 'c' })).toBe('{"1":"a","10":"b","9":"c"}')
  })

  it('leaves what is no plain JSON to the reference', () => {
    const at = new Date(0)
    expect(jcs({ at, b: undefined })).toBe('{"at":"1970-01-01T00:00:00.000Z"}')
    expect(jcs([undefined, Number(1), Object('x')])).toBe('[null,1,"x"]')
    expect(jcs({ toJSON: () => ({ b: 1, a: 2 }) })).toBe('{"a":2,"b":1}')
    expect(jcs(Object.assign(Object.create({ inherited: 1 }), { own: 2 }))).toBe('{"own":2}')
  })

  it.each([
    ['a lone surrogate', ['\ud800']],
    ['a name with one', { '\ud800': 1 }],
    ['NaN', [Number.NaN]],
    ['an infinity', { a: Number.POSITIVE_INFINITY }],
    ['undefined', undefined],
    ['a function', () => 1],
  ])('throws on %s', (_, value) => {
    expect(() => jcs(value)).toThrow()
  })

  it('throws on what holds itself', () => {
    const value: Record<string, unknown> = { a: 1 }
    value.b = { c: value }
    expect(() => jcs(value)).toThrow('Circular')
  })

  it('writes what is nested deeply', () => {
    let value: unknown = 1
    for (let depth = 0; depth < 100; depth++) value = { a: [value] }
    expect(jcs(value)).toBe(canonicalize(value))
  })
})

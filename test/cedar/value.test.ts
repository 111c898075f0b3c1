import { expect, test } from 'vitest'
import { parseJson } from '../../src/cedar/json.ts'
import { addLong, divLong, mulLong, subLong } from '../../src/cedar/long.ts'
import { contains, entityRef, equals, recordOf, setOf, unknown, type Value } from '../../src/cedar/value.ts'
import { valueFromJson, valueToJson } from '../../src/cedar/value-json.ts'

const MAX = 9223372036854775807n
const MIN = -9223372036854775808n

test('Longs are exact over 64 bits and overflow beyond', () => {
  expect(addLong(Number.MAX_SAFE_INTEGER, 1)).toBe(9007199254740992n)
  expect(addLong(9007199254740992n, -1)).toBe(Number.MAX_SAFE_INTEGER)
  expect(addLong(MAX, 1)).toBeUndefined()
  expect(subLong(MIN, 1)).toBeUndefined()
  expect(subLong(0, MIN)).toBeUndefined()
  expect(mulLong(3037000500, 3037000500)).toBeUndefined()
  expect(mulLong(3037000499, 3037000499)).toBe(9223372030926249001n)
  expect(mulLong(MIN, -1)).toBeUndefined()
  expect(Object.is(mulLong(0, -5), 0)).toBe(true)
  expect(Object.is(divLong(-500, 1000), 0)).toBe(true)
})

test('values of different types differ', () => {
  const values: Value[] = [1, '1', true, entityRef('T', '1'), setOf([1]), recordOf([['a', 1]]), setOf([]), recordOf([])]
  for (const [i, a] of values.entries()) for (const [j, b] of values.entries()) expect(equals(a, b)).toBe(i === j)
})

test('sets know neither order nor repetition', () => {
  const nested = (...items: Value[]) => setOf([setOf(items), recordOf([['a', setOf(items)]])])
  expect(equals(nested(1, 'x', 1), nested('x', 1))).toBe(true)
  expect(contains(nested(1, 'x'), setOf(['x', 1, 1]))).toBe(true)
  expect(contains(nested(1, 'x'), setOf(['x', '1']))).toBe(false)
  expect(setOf([1, 1, entityRef('T', 'a'), entityRef('T', 'a')]).items).toHaveLength(2)
})

test('no text can pose as another value', () => {
  expect(entityRef('A', 'b').key).not.toBe(entityRef('A:b', '').key)
  expect(equals(setOf([setOf(['a,b'])]), setOf([setOf(['a', 'b'])]))).toBe(false)
  expect(equals(setOf([setOf(['1'])]), setOf([setOf([1])]))).toBe(false)
  expect(contains(setOf([entityRef('T', 'a')]), entityRef('T', 'a').key)).toBe(false)
  expect(equals(setOf([recordOf([['a":1,"b', 2]])]), setOf([recordOf([['a', 1], ['b', 2]])]))).toBe(false) // biome-ignore format: one line
})

test.each([
  '{"a":[1,"x",{"__entity":{"type":"T","id":"i"}}],"b":{"__extn":{"fn":"decimal","arg":"1.5000"}},"c":false}',
  '{"__entity":{"type":"T"}}',
  '{"__entity":{"type":"T","id":"i"},"more":1}',
  '{"__proto__":1,"constructor":2}',
  '[9223372036854775807,-9223372036854775808,9007199254740993]',
])('reads and writes %s', text => {
  const value = valueFromJson(parseJson(text) as never)
  const reserved = text.includes('"T"}') || text.includes('more')
  if (reserved) expect(() => valueToJson(value)).toThrow('no JSON for a record with __entity')
  else expect(valueToJson(value)).toEqual(parseJson(text))
})

test.each([
  null,
  1.5,
  2 ** 53,
  2n ** 63n,
  [null],
  { __extn: { fn: 'decimal', arg: 'x' } },
  { __extn: { fn: 'no', arg: '' } },
  { __expr: '1' },
])(
  // biome-ignore format: one line
  'refuses %s',
  json => expect(() => valueFromJson(json)).toThrow(),
)

test('unknowns inside are known from outside', () => {
  const inside = unknown('x')
  expect(setOf([recordOf([['a', setOf([1, inside])]])]).open).toBe(true)
  expect(recordOf([['a', 1]]).open).toBe(false)
  expect(() => valueToJson(inside)).toThrow()
})

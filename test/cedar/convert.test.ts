import { expect, test } from 'vitest'
import { convert, convertRecord } from '../../src/cedar/convert.ts'
import type { CedarValueJson, SchemaJson } from '../../src/cedar/json.ts'
import { loadSchema } from '../../src/cedar/schema.ts'
import type { Type } from '../../src/cedar/type.ts'
import { entityRef } from '../../src/cedar/value.ts'
import { valueToJson } from '../../src/cedar/value-json.ts'

const ACCOUNT = {
  type: 'Record',
  attributes: {
    owner: { type: 'Entity', name: 'Shop::User' },
    level: { type: 'Shop::Level', required: false },
    'a/b~c': { type: 'Set', element: { type: 'Long' }, required: false },
    nested: { type: 'Record', attributes: { flag: { type: 'Bool' } }, required: false },
    at: { type: 'datetime', required: false },
  },
} as const

const SCHEMA: SchemaJson = {
  Shop: {
    commonTypes: { Account: ACCOUNT, Level: { type: 'Entity', name: 'Shop::Tier' } },
    entityTypes: { User: {}, Tier: { enum: ['gold', 'tin'] } },
    actions: {
      buy: { appliesTo: { principalTypes: ['User'], resourceTypes: ['User'], context: { type: 'Account' } } },
    },
  },
}

const context = loadSchema(SCHEMA).actions.get(entityRef('Shop::Action', 'buy').key)?.context

function converted(json: unknown) {
  if (context === undefined) throw new Error('no such action')
  const conversion = convertRecord(context, json)
  return conversion.ok ? valueToJson(conversion.value) : conversion.problems.map(({ pointer, code }) => [pointer, code])
}

const owner = { type: 'Shop::User', id: 'ann' }

test('a context is read by the schema, common types and enumerations included', () => {
  const json = { owner, level: { type: 'Shop::Tier', id: 'tin' }, 'a/b~c': [1, 1, -0], nested: { flag: true } }
  expect(converted(json)).toEqual({
    owner: { __entity: owner },
    level: { __entity: { type: 'Shop::Tier', id: 'tin' } },
    'a/b~c': [1, 0],
    nested: { flag: true },
  })
})

test('every problem is found, each with its pointer', () => {
  const json = {
    level: { type: 'Shop::Tier', id: 'lead' },
    'a/b~c': [1, 'x', 1.5, 2 ** 53],
    nested: { flag: null, more: 1 },
    at: '2024-02-30',
    ['__proto__']: 1,
  }
  expect(converted(json)).toEqual([
    ['/owner', 'missing'],
    ['/level/id', 'malformed'],
    ['/a~1b~0c/1', 'mistyped'],
    ['/a~1b~0c/2', 'mistyped'],
    ['/a~1b~0c/3', 'malformed'],
    ['/nested/flag', 'mistyped'],
    ['/nested/more', 'undeclared'],
    ['/at', 'malformed'],
    ['/__proto__', 'undeclared'],
  ])
})

test.each([
  [{ ...owner, extra: 1 }, [['/owner/extra', 'undeclared']]],
  [{ type: 'Shop::User' }, [['/owner/id', 'missing']]],
  [{ type: 1, id: 2 }, [['/owner/type', 'mistyped'], ['/owner/id', 'mistyped']]], // biome-ignore format: one line
  [{ type: 'User', id: 'ann' }, [['/owner/type', 'mistyped']]],
  [{ __entity: owner }, [['/owner/__entity', 'undeclared'], ['/owner/type', 'missing'], ['/owner/id', 'missing']]], // biome-ignore format: one line
  ['ann', [['/owner', 'mistyped']]],
  [[], [['/owner', 'mistyped']]],
])('the entity %j: %j', (json, problems) => expect(converted({ owner: json })).toEqual(problems))

test.each([null, undefined, 1, 'x', []])('a context is an object, not %j', json => {
  expect(converted(json)).toEqual([['', 'mistyped']])
})

test.each([
  ['decimal', 12, '12.0000'],
  ['decimal', 0.1, '0.1000'],
  ['decimal', -12.3456, '-12.3456'],
  ['decimal', '922337203685477.5807', '922337203685477.5807'],
  ['decimal', 922337203685477, '922337203685477.0000'],
  ['datetime', '2024-01-01', '2024-01-01T00:00:00.000Z'],
  ['duration', '1h', '3600000ms'],
  ['ipaddr', '10.0.0.0/8', '10.0.0.0/8'],
] as const)('%s from %j', (kind, json, text) => {
  const fn = kind === 'ipaddr' ? 'ip' : kind
  expect(shown({ kind }, json)).toEqual({ __extn: { fn, arg: text } })
})

test.each([
  ['decimal', 0.12345, 'malformed'],
  ['decimal', 1e-7, 'malformed'],
  // Beyond 10^11 a number can't be told from its neighbours any more.
  ['decimal', 100000000000.5, 'malformed'],
  ['decimal', 1e21, 'malformed'],
  ['decimal', '1', 'malformed'],
  ['decimal', true, 'mistyped'],
  ['datetime', 0, 'mistyped'],
  ['duration', '1 hour', 'malformed'],
  ['ipaddr', { fn: 'ip', arg: '::1' }, 'mistyped'],
  ['long', '1', 'mistyped'],
  ['bool', 1, 'mistyped'],
  ['string', 1, 'mistyped'],
] as const)('%s refuses %j: %s', (kind, json, code) => {
  expect(shown({ kind }, json)).toEqual([['/here', code]])
})

function shown(type: Type, json: unknown): CedarValueJson | string[][] {
  const conversion = convert(type, json, '/here')
  return conversion.ok ? valueToJson(conversion.value) : conversion.problems.map(({ pointer, code }) => [pointer, code])
}

test('what stands in an open record is read without a type, and never throws', () => {
  const open: Type = { kind: 'record', attributes: new Map(), open: true }
  let deep: unknown = 1
  for (let i = 0; i < 100_000; i++) deep = [deep]
  expect(shown(open, { a: [1, { __entity: owner }] })).toEqual({ a: [1, { __entity: owner }] })
  expect(shown(open, { deep, nothing: null })).toEqual([
    ['/here/deep', 'mistyped'],
    ['/here/nothing', 'mistyped'],
  ])
})

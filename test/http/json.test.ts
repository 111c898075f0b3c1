import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_DEPTH, readJson } from '../../src/http/json.ts'

const nested = (depth: number, inner = ''): string => '['.repeat(depth) + inner + ']'.repeat(depth)

describe('JSON with one meaning is taken as JSON.parse takes it', () => {
  it('any value that JSON can carry', () => {
    const value = fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' }).filter(json => !hasKey(json, '__proto__'))
    fc.assert(
      fc.property(value, fc.constantFrom(0, 1, '\t'), (json, space) => {
        const text = JSON.stringify(json, null, space)
        expect(readJson(text)).toEqual({ value: JSON.parse(text) })
      }),
      { numRuns: 300 },
    )
  })

  it.each(['null', ' true ', '"a"', '-0', '1e308', '1E+2', '{}', '[]', '{"":{"":[]}}', '["\\ud83d\\ude00","😀"]'])(
    '%s',
    text => {
      expect(readJson(text)).toEqual({ value: JSON.parse(text) })
    },
  )

  it('nesting up to the bound', () => {
    expect(readJson(nested(MAX_DEPTH))).toHaveProperty('value')
    expect(readJson(`{"a":${nested(MAX_DEPTH - 1)},"b":${nested(MAX_DEPTH - 1)}}`)).toHaveProperty('value')
  })

  it('brackets, commas and numbers inside strings are text', () => {
    const value = { '[{': '}]"\\', b: ['1e999', ',,:', '{"a":1,"a":2}'] }
    expect(readJson(JSON.stringify(value))).toEqual({ value })
  })

  it('one key in several objects', () => {
    expect(readJson('{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1}}')).toHaveProperty('value')
  })
})

describe('what has no one meaning is refused, with the pointer of the place', () => {
  it.each([
    ['a key that stands twice', '{"a":1,"a":1}', '/a'],
    ['a key that stands twice, once escaped', '{"a":1,"\\u0061":2}', '/a'],
    ['a key that stands twice, both escaped in their own way', '{"\\/":1,"\\u002F":2}', '/~1'],
    ['a nested key that stands twice', '{"x":[0,{"b":{"c":1,"d":2,"c":3}}]}', '/x/1/b/c'],
    ['the empty key twice', '{"":1,"":2}', '/'],
    ['a key twice, a nested object between', '{"a":{"a":1,"b":[]},"a":2}', '/a'],
    ['a number beyond all doubles', '{"n":[1,1e400]}', '/n/1'],
    ['a negative number beyond all doubles', '{"n":-1E999}', '/n'],
    ['a long number beyond all doubles', `[${'9'.repeat(400)}]`, '/0'],
    ['a lone high surrogate', '{"s":"\\ud800"}', '/s'],
    ['a lone low surrogate', '["a","\\udc00b"]', '/1'],
    ['surrogates in the wrong order', '["\\udc00\\ud800"]', '/0'],
    ['a lone surrogate as it stands', '["\ud800"]', '/0'],
    ['a lone surrogate in a key', '{"\\ud800":1}', '/\ud800'],
    ['__proto__ as a key', '{"a":{"__proto__":{"admin":true}}}', '/a/__proto__'],
    ['__proto__ as an escaped key', '{"\\u005f_proto__":1}', '/__proto__'],
    ['nesting beyond the bound', nested(MAX_DEPTH + 1), '/0'.repeat(MAX_DEPTH)],
    [
      'nesting beyond the bound in objects',
      `${'{"k/~":'.repeat(MAX_DEPTH)}{}${'}'.repeat(MAX_DEPTH)}`,
      '/k~1~0'.repeat(MAX_DEPTH),
    ],
    [
      'nesting beyond the bound that is never closed in the text that follows',
      `[[],${nested(MAX_DEPTH)}]`,
      `/1${'/0'.repeat(MAX_DEPTH - 1)}`,
    ],
  ])('%s', (_, text, pointer) => {
    expect(readJson(text)).toMatchObject({ status: 400, reason: 'malformed_json', pointer })
  })

  it.each([
    ['nothing', ''],
    ['white space', ' \n'],
    ['trailing garbage', '{"a":1}x'],
    ['a second document', '{} {}'],
    ['a byte order mark', '\ufeff{}'],
    ['a trailing comma', '{"a":1,}'],
    ['a comment', '{/**/}'],
    ['single quotes', "{'a':1}"],
    ['NaN', '[NaN]'],
    ['a leading zero', '[01]'],
    ['a control character in a string', '["\u0000"]'],
    ['an unfinished escape', '["\\u12"]'],
    ['a no-break space between', '[1,\u00a02]'],
  ])('what is not JSON at all: %s', (_, text) => {
    expect(readJson(text)).toMatchObject({ status: 400, reason: 'malformed_json', pointer: '' })
  })

  it('a very deep text, without running out of stack', () => {
    expect(readJson(nested(30_000))).toMatchObject({ status: 400, reason: 'malformed_json' })
  })

  it('agrees with a reader that walks the written tree', () => {
    fc.assert(
      fc.property(tree, node => {
        const place = firstDoubt(node)
        const result = readJson(print(node))
        if (place === undefined) expect(result).toEqual({ value: JSON.parse(print(node)) })
        else expect(result).toMatchObject({ status: 400, reason: 'malformed_json', pointer: place })
      }),
      { numRuns: 1_000 },
    )
  })
})

/** JSON as it is written: keys may stand twice, and each character of a string may be escaped. */
type Written = { text: string; means: string }
type Node =
  | { kind: 'scalar'; text: string; finite: boolean }
  | { kind: 'string'; string: Written }
  | { kind: 'array'; items: Node[]; space: string }
  | { kind: 'object'; members: [Written, Node][]; space: string }

const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
const asWritten = (means: string, escapes: boolean[]): Written => ({
  means,
  text: `"${[...Array(means.length).keys()]
    .map(at => means.charAt(at))
    .map((unit, at) => (escapes[at % escapes.length] || /["\\\p{Cc}\ud800-\udfff]/u.test(unit) ? escaped(unit) : unit))
    .join('')}"`,
})
const written = (word: fc.Arbitrary<string>): fc.Arbitrary<Written> =>
  fc
    .tuple(word, fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }))
    .map(([text, escapes]) => asWritten(text, escapes))

const keys = written(
  fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', '', '/', '~', '"', 'ä', '😀', 'proto', '__proto', '0'),
)
const oddKeys = written(fc.constantFrom('__proto__', '\ud800', 'x\udc00'))
const space = fc.constantFrom('', ' ', '\n\t')

const { tree } = fc.letrec<{ tree: Node }>(tie => ({
  tree: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom<Node>(
      { kind: 'scalar', text: 'null', finite: true },
      { kind: 'scalar', text: '-12.5e-3', finite: true },
      { kind: 'scalar', text: '0', finite: true },
    ),
    { arbitrary: fc.constant<Node>({ kind: 'scalar', text: '-1e309', finite: false }), weight: 1 },
    written(fc.string({ unit: 'binary', maxLength: 4 })).map((string): Node => ({ kind: 'string', string })),
    fc
      .tuple(fc.array(tie('tree'), { maxLength: 4 }), space)
      .map(([items, gap]): Node => ({ kind: 'array', items, space: gap })),
    {
      arbitrary: fc
        .tuple(
          fc.array(fc.tuple(fc.oneof({ weight: 30, arbitrary: keys }, oddKeys), tie('tree')), { maxLength: 4 }),
          space,
        )
        .map(([members, gap]): Node => ({ kind: 'object', members, space: gap })),
      weight: 3,
    },
  ),
}))

const print = (node: Node): string => {
  switch (node.kind) {
    case 'scalar':
      return node.text
    case 'string':
      return node.string.text
    case 'array':
      return `[${node.space}${node.items.map(print).join(`${node.space},`)}]`
    case 'object':
      return `{${node.members.map(([key, value]) => `${node.space}${key.text}:${node.space}${print(value)}`).join(',')}}`
  }
}

/** The pointer of the first place that isn't plain, in the order of the text. */
const firstDoubt = (node: Node, at: string[] = []): string | undefined => {
  const pointer = (...more: string[]) =>
    [...at, ...more].map(part => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  switch (node.kind) {
    case 'scalar':
      return node.finite ? undefined : pointer()
    case 'string':
      return node.string.means.isWellFormed() ? undefined : pointer()
    case 'array':
      if (at.length === MAX_DEPTH) return pointer()
      for (const [index, item] of node.items.entries()) {
        const doubt = firstDoubt(item, [...at, String(index)])
        if (doubt !== undefined) return doubt
      }
      return undefined
    case 'object': {
      if (at.length === MAX_DEPTH) return pointer()
      const seen = new Set<string>()
      for (const [{ means }, value] of node.members) {
        if (seen.has(means) || means === '__proto__' || !means.isWellFormed()) return pointer(means)
        seen.add(means)
        const doubt = firstDoubt(value, [...at, means])
        if (doubt !== undefined) return doubt
      }
      return undefined
    }
  }
}

const hasKey = (json: unknown, key: string): boolean =>
  typeof json === 'object' &&
  json !== null &&
  (Object.hasOwn(json, key) || Object.values(json).some(value => hasKey(value, key)))

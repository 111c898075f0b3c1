import type {
  ActionScopeJson,
  CedarValueJson,
  EntityJson,
  EntityUid,
  Expr,
  ExtensionName,
  PatternElem,
  PolicyJson,
  PolicySetJson,
  ScopeJson,
} from '../../src/cedar/json.ts'

/**
 * Generated worlds for tests that compare evaluators. Expressions are mostly well typed, so that they get far; some
 * operands are of any type, some attributes are absent, some entities don't exist, and many integers overflow.
 */
export interface World {
  readonly policies: PolicySetJson
  readonly entities: readonly EntityJson[]
  readonly requests: readonly WorldRequest[]
}

export interface WorldRequest {
  readonly principal: EntityUid
  readonly action: EntityUid
  readonly resource: EntityUid
  readonly context: { readonly [name: string]: CedarValueJson }
}

export type Kind =
  | 'bool'
  | 'long'
  | 'string'
  | 'entity'
  | 'longs'
  | 'entities'
  | 'record'
  | 'decimal'
  | 'ip'
  | 'datetime'
  | 'duration'

/** A source of random numbers from 0 to 1. */
export type Generate = () => number

/**
 * The numbers that follow from a seed (the generator "mulberry32"). A failing case is told by its seed; drawing each
 * number from fast-check would let it shrink cases, but takes a hundred times as long.
 */
export function generator(seed: number): Generate {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function world(g: Generate, requests: number): World {
  const links = Array.from({ length: int(g, 0, 2) }, (_, i) => ({
    templateId: 'template',
    newId: `link${i}`,
    values: { '?principal': uid(g), '?resource': uid(g) },
  }))
  const staticPolicies: Record<string, PolicyJson> = {}
  for (let i = 0; i < 6; i++) staticPolicies[`policy${i}`] = policy(g)
  return {
    policies: { staticPolicies, templates: { template: template(g) }, templateLinks: links },
    entities: entities(g),
    requests: Array.from({ length: requests }, () => request(g)),
  }
}

export function request(g: Generate): WorldRequest {
  return { principal: uid(g), action: action(g), resource: uid(g), context: fields(g, 1) }
}

export function policy(g: Generate): PolicyJson {
  return {
    effect: pick(g, ['permit', 'forbid']),
    principal: scope(g),
    action: actionScope(g),
    resource: scope(g),
    conditions: Array.from({ length: int(g, 0, 2) }, () => ({
      kind: pick(g, ['when', 'when', 'unless']),
      body: expression(g, 'bool', int(g, 1, 4)),
    })),
  }
}

export function entities(g: Generate): EntityJson[] {
  const all = [...TYPES.flatMap(type => IDS.map(id => ({ type, id }))), ...ACTIONS]
  // Only what comes later can be a parent, so there are no cycles; some entities don't exist.
  return all.flatMap((uid, i) => {
    const isAction = uid.type === 'Action'
    const parents = all.slice(i + 1).filter(other => (other.type === 'Action') === isAction && chance(g, 5))
    if (chance(g, 6)) return []
    if (isAction) return [{ uid, attrs: {}, parents }]
    return [{ uid, attrs: fields(g, 1), parents, tags: chance(g, 2) ? fields(g, 0) : {} }]
  })
}

/** An expression whose value is of the kind, unless it errs or luck had it otherwise. */
export function expression(g: Generate, wanted: Kind, depth: number): Expr {
  const kind = chance(g, 25) ? pick(g, KINDS) : wanted
  if (depth <= 0) return chance(g, 2) ? { Value: value(g, kind, 1) } : attribute(g, kind, 0)
  const sub = (of: Kind) => expression(g, of, depth - 1)
  switch (int(g, 0, 9)) {
    case 0:
      // biome-ignore lint/suspicious/noThenProperty: Cedar's format has it
      return { 'if-then-else': { if: sub('bool'), then: sub(kind), else: sub(kind) } }
    case 1:
      return attribute(g, kind, depth - 1)
    case 2:
      return { Value: value(g, kind, 1) }
    case 3:
      return kind === 'bool'
        ? comparison(g, sub)
        : { getTag: { left: sub('entity'), right: { Value: nameOf(g, kind) } } }
    default:
      return produce(g, kind, sub)
  }
}

/** JSON of a value of the kind. */
export function value(g: Generate, kind: Kind, depth: number): CedarValueJson {
  switch (kind) {
    case 'bool':
      return chance(g, 2)
    case 'long':
      return long(g)
    case 'string':
      return pick(g, STRINGS)
    case 'entity':
      return { __entity: uid(g) }
    case 'longs':
      return list(g, () => (chance(g, 20) ? pick(g, STRINGS) : int(g, -1, 3)))
    case 'entities':
      return list(g, () => (chance(g, 20) ? int(g, 0, 1) : { __entity: uid(g) }))
    case 'record':
      return depth > 0 ? fields(g, depth - 1) : { n: int(g, 0, 2) }
    case 'decimal':
      return { __extn: { fn: 'decimal', arg: pick(g, DECIMALS) } }
    case 'ip':
      return { __extn: { fn: 'ip', arg: pick(g, IPS) } }
    case 'datetime':
      return { __extn: { fn: 'datetime', arg: pick(g, DATETIMES) } }
    case 'duration':
      return { __extn: { fn: 'duration', arg: pick(g, DURATIONS) } }
  }
}

export const KINDS: readonly Kind[] = [
  'bool',
  'long',
  'string',
  'entity',
  'longs',
  'entities',
  'record',
  'decimal',
  'ip',
  'datetime',
  'duration',
]

/** Attributes and tags have the name of their kind, mostly. */
function nameOf(g: Generate, kind: Kind): string {
  return chance(g, 20) ? pick(g, ['absent', 'odd name', '', '__proto__', ...KINDS]) : kind
}

const TYPES = ['User', 'Group', 'NS::Doc']
const IDS = ['a', '"b"']
const ACTIONS = ['read', 'write', 'all'].map(id => ({ type: 'Action', id }))
const STRINGS = ['', 'a', 'abc', 'a*c', 'long', '\u{1f600}x', 'aXbXc', '\u0000']
const LONGS: readonly (number | bigint)[] = [
  0,
  1,
  -1,
  2,
  5,
  1000,
  3_037_000_500,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  9007199254740992n,
  -9007199254740993n,
  4611686018427387904n,
  9223372036854775807n,
  -9223372036854775808n,
  -9223372036854775807n,
]
const DECIMALS = ['0.0', '-0.5', '1.25', '1.2500', '922337203685477.5807', '-922337203685477.5808', '12.34']
const IPS = ['127.0.0.1', '127.0.0.0/8', '10.0.0.0/8', '10.1.2.3', '0.0.0.0/0', '224.0.0.1', '::1', 'ff00::1/8', '::/0']
const DATETIMES = [
  '1970-01-01',
  '2024-02-29T23:59:59.999Z',
  '2024-03-01T00:00:00+0130',
  '1969-12-31T23:59:59Z',
  '0000-01-01',
  '9999-12-31T23:59:59.999-2359',
]
const DURATIONS = ['0ms', '1d2h3m4s5ms', '-1d', '24h', '90s', '9223372036854775807ms', '-9223372036854775808ms']
/** What constructors refuse, or only just take. */
const ODD: { readonly [Name in 'decimal' | 'ip' | 'datetime' | 'duration']: readonly string[] } = {
  decimal: ['', '1', '1.', '.5', '1.23456', '922337203685477.5808', '-922337203685477.5809', '+1.0', '01.10', ' 1.0'],
  ip: [
    '',
    '256.0.0.1',
    '01.0.0.1',
    '1.2.3',
    '1::2::3',
    '::ffff:1.2.3.4',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/08',
    '1.2.3.4/',
  ],
  datetime: [
    '',
    '2023-02-29',
    '2024-1-1',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:00:00',
    '2024-01-01T00:00:00+2400',
    '2024-13-01',
  ],
  duration: [
    '',
    '-',
    '1',
    '1s1m',
    '1.5s',
    '--1s',
    '9223372036854775808ms',
    '-9223372036854775809ms',
    '1ms1ms',
    '106751991168d',
  ],
}

function produce(g: Generate, kind: Kind, sub: (of: Kind) => Expr): Expr {
  const arithmetic = { left: sub('long'), right: sub('long') }
  switch (kind) {
    case 'bool':
      return bool(g, sub)
    case 'long':
      return pick<() => Expr>(g, [
        () => ({ neg: { arg: sub('long') } }),
        () => ({ '+': arithmetic }),
        () => ({ '-': arithmetic }),
        () => ({ '*': arithmetic }),
        () => ({ '*': arithmetic }),
        () => call(pick(g, ['toMilliseconds', 'toSeconds', 'toMinutes', 'toHours', 'toDays']), [sub('duration')]),
      ])()
    case 'longs':
      return { Set: Array.from({ length: int(g, 0, 3) }, () => sub('long')) }
    case 'entities':
      return { Set: Array.from({ length: int(g, 0, 3) }, () => sub('entity')) }
    case 'record':
      return { Record: Object.fromEntries(someKinds(g).map(of => [nameOf(g, of), sub(of)])) }
    case 'decimal':
    case 'ip':
      return construct(g, kind, sub)
    case 'datetime':
      return pick<() => Expr>(g, [
        () => construct(g, kind, sub),
        () => call('offset', [sub('datetime'), sub('duration')]),
        () => call('toDate', [sub('datetime')]),
      ])()
    case 'duration':
      return pick<() => Expr>(g, [
        () => construct(g, kind, sub),
        () => call('durationSince', [sub('datetime'), sub('datetime')]),
        () => call('toTime', [sub('datetime')]),
      ])()
    default:
      return { Value: value(g, kind, 1) }
  }
}

function bool(g: Generate, sub: (of: Kind) => Expr): Expr {
  const sets = (): Kind => pick(g, ['longs', 'entities'])
  return pick<() => Expr>(g, [
    () => ({ '!': { arg: sub('bool') } }),
    () => ({ '&&': { left: sub('bool'), right: sub('bool') } }),
    () => ({ '||': { left: sub('bool'), right: sub('bool') } }),
    () => comparison(g, sub),
    () => comparison(g, sub),
    () => ({ in: { left: sub('entity'), right: sub(pick(g, ['entity', 'entities'])) } }),
    () => ({ is: { left: sub('entity'), entity_type: pick(g, TYPES) } }),
    () => ({ is: { left: sub('entity'), entity_type: pick(g, TYPES), in: sub(pick(g, ['entity', 'entities'])) } }),
    () => ({ has: { left: sub(pick(g, ['entity', 'record'])), attr: nameOf(g, pick(g, KINDS)) } }),
    () => ({ has: { left: sub('entity'), attr: [pick(g, ['record', 'entity']), pick(g, KINDS), pick(g, KINDS)] } }),
    () => ({ like: { left: sub('string'), pattern: pattern(g) } }),
    () => {
      const of = sets()
      return { contains: { left: sub(of), right: sub(of === 'longs' ? 'long' : 'entity') } }
    },
    () => ({ containsAll: { left: sub(sets()), right: sub(sets()) } }),
    () => ({ containsAny: { left: sub(sets()), right: sub(sets()) } }),
    () => ({ isEmpty: { arg: sub(sets()) } }),
    () => ({ hasTag: { left: sub('entity'), right: sub('string') } }),
    () => ({ hasTag: { left: sub('entity'), right: { Value: nameOf(g, pick(g, KINDS)) } } }),
    () => call(pick(g, ['isIpv4', 'isIpv6', 'isLoopback', 'isMulticast']), [sub('ip')]),
    () => call('isInRange', [sub('ip'), sub('ip')]),
    () => {
      const compare = ['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual'] as const
      return call(pick(g, compare), [sub('decimal'), sub('decimal')])
    },
    // Now and then a wrong number of arguments.
    () => call('isLoopback', chance(g, 8) ? [sub('ip'), sub('ip')] : [sub('ip')]),
  ])()
}

function comparison(g: Generate, sub: (of: Kind) => Expr): Expr {
  const any = pick(g, KINDS)
  const ordered = pick<Kind>(g, ['long', 'long', 'datetime', 'duration'])
  const same = { left: sub(any), right: sub(any) }
  const order = () => ({ left: sub(ordered), right: sub(ordered) })
  return pick<() => Expr>(g, [
    () => ({ '==': same }),
    () => ({ '!=': same }),
    () => ({ '<': order() }),
    () => ({ '<=': order() }),
    () => ({ '>': order() }),
    () => ({ '>=': order() }),
  ])()
}

function construct(g: Generate, kind: keyof typeof ODD, sub: (of: Kind) => Expr): Expr {
  if (chance(g, 5)) return call(kind, [{ Value: pick(g, ODD[kind]) }])
  return chance(g, 10) ? call(kind, [sub('string')]) : { Value: value(g, kind, 1) }
}

function attribute(g: Generate, kind: Kind, depth: number): Expr {
  if (kind === 'entity' && chance(g, 2)) return { Var: pick(g, ['principal', 'action', 'resource']) }
  if (kind === 'record' && chance(g, 2)) return { Var: 'context' }
  const holder = depth > 0 && chance(g, 3) ? expression(g, pick(g, ['entity', 'record']), depth - 1) : undefined
  return {
    '.': { left: holder ?? { Var: pick(g, ['principal', 'resource', 'context', 'context']) }, attr: nameOf(g, kind) },
  }
}

function call(name: ExtensionName, args: readonly Expr[]): Expr {
  return { [name]: args } as Expr
}

function pattern(g: Generate): PatternElem[] {
  return Array.from({ length: int(g, 0, 4) }, () => (chance(g, 2) ? 'Wildcard' : { Literal: pick(g, STRINGS) }))
}

function fields(g: Generate, depth: number): { readonly [name: string]: CedarValueJson } {
  return Object.fromEntries(KINDS.filter(() => !chance(g, 6)).map(kind => [kind, value(g, kind, depth)]))
}

function template(g: Generate): PolicyJson {
  return {
    ...policy(g),
    principal: pick(g, [
      { op: '==', slot: '?principal' },
      { op: 'in', slot: '?principal' },
      { op: 'is', entity_type: pick(g, TYPES), in: { slot: '?principal' } },
    ]),
    resource: pick(g, [
      { op: '==', slot: '?resource' },
      { op: 'in', slot: '?resource' },
    ]),
  }
}

function scope(g: Generate): ScopeJson {
  return pick<() => ScopeJson>(g, [
    () => ({ op: 'All' }),
    () => ({ op: 'All' }),
    () => ({ op: '==', entity: uid(g) }),
    () => ({ op: 'in', entity: uid(g) }),
    () => ({ op: 'is', entity_type: pick(g, TYPES) }),
    () => ({ op: 'is', entity_type: pick(g, TYPES), in: { entity: uid(g) } }),
  ])()
}

function actionScope(g: Generate): ActionScopeJson {
  return pick<() => ActionScopeJson>(g, [
    () => ({ op: 'All' }),
    () => ({ op: '==', entity: action(g) }),
    () => ({ op: 'in', entity: action(g) }),
    () => ({ op: 'in', entities: Array.from({ length: int(g, 0, 3) }, () => action(g)) }),
  ])()
}

function uid(g: Generate): EntityUid {
  return { type: pick(g, TYPES), id: pick(g, IDS) }
}

function action(g: Generate): EntityUid {
  return pick(g, ACTIONS)
}

function long(g: Generate): number | bigint {
  return chance(g, 2) ? int(g, -3, 3) : pick(g, LONGS)
}

function someKinds(g: Generate): readonly Kind[] {
  return KINDS.filter(() => chance(g, 5))
}

function list(g: Generate, item: () => CedarValueJson): CedarValueJson[] {
  return Array.from({ length: int(g, 0, 3) }, item)
}

export function chance(g: Generate, oneIn: number): boolean {
  return int(g, 1, oneIn) === 1
}

export function int(g: Generate, min: number, max: number): number {
  return min + Math.floor(g() * (max - min + 1))
}

export function pick<T>(g: Generate, from: readonly T[]): T {
  return from[int(g, 0, from.length - 1)] as T
}

import * as v from 'valibot'
import type { EntityJson, Expr, PatternElem, PolicyJson, SchemaJson, ScopeJson } from '../../src/cedar/json.ts'
import { contentHash } from '../../src/durable/hash.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { Tenant } from '../../src/policy/tenant.ts'

/** Numbers that follow from a seed (mulberry32). */
export const dice = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <T>(items: readonly [T, ...T[]]): T => items[below(items.length)] ?? items[0]
  return { next, below, pick, chance: (p: number) => next() < p }
}
export type Dice = ReturnType<typeof dice>

const uid = (type: string, id: string) => ({ type, id })

const schema: SchemaJson = {
  '': {
    commonTypes: {},
    entityTypes: {
      Team: { memberOfTypes: ['Team'], shape: record({ budget: { type: 'Long', required: false } }) },
      User: {
        memberOfTypes: ['Team'],
        shape: record({ region: { type: 'String' }, level: { type: 'Long' }, team: entity('Team') }),
      },
      Folder: { memberOfTypes: ['Folder'] },
      Doc: {
        memberOfTypes: ['Folder'],
        shape: record({
          status: { type: 'String' },
          note: { type: 'String', required: false },
          total: { type: 'Long' },
          paid: { type: 'Long', required: false },
          open: { type: 'Bool' },
          due: { type: 'Extension', name: 'datetime', required: false },
          hold: { type: 'Extension', name: 'duration', required: false },
          owner: entity('User'),
          team: { ...entity('Team'), required: false },
          flags: { type: 'Set', element: { type: 'String' } },
          sizes: { type: 'Set', element: { type: 'Long' }, required: false },
          readers: { type: 'Set', element: { type: 'Entity', name: 'User' }, required: false },
          address: { ...record({ city: { type: 'String' }, zip: { type: 'Long', required: false } }), required: false },
          rate: { type: 'Extension', name: 'decimal', required: false },
        }),
      },
    },
    actions: {
      see: {
        appliesTo: {
          principalTypes: ['User'],
          resourceTypes: ['Doc'],
          context: record({
            arguments: record({ amount: { type: 'Long' }, word: { type: 'String' } }),
            now: { type: 'Extension', name: 'datetime' },
          }),
        },
      },
    },
  },
}

function record(attributes: NonNullable<SchemaJson[string]['entityTypes'][string]['shape']>['attributes']) {
  return { type: 'Record', attributes: attributes ?? {} }
}

function entity(name: string) {
  return { type: 'Entity', name }
}

const entities: EntityJson[] = [
  { uid: uid('Team', 'all'), attrs: { budget: 100 }, parents: [] },
  { uid: uid('Team', 'red'), attrs: { budget: 5 }, parents: [uid('Team', 'all')] },
  { uid: uid('Team', 'blue'), attrs: {}, parents: [uid('Team', 'all')] },
  {
    uid: uid('User', 'ann'),
    attrs: { region: 'eu', level: 3, team: uid('Team', 'red') },
    parents: [uid('Team', 'red')],
  },
  {
    uid: uid('User', 'bob'),
    attrs: { region: 'us', level: 0, team: uid('Team', 'all') },
    parents: [uid('Team', 'blue')],
  },
  { uid: uid('User', 'cid'), attrs: { region: 'eu', level: 7, team: uid('Team', 'blue') }, parents: [] },
  { uid: uid('Folder', 'top'), attrs: {}, parents: [] },
  { uid: uid('Folder', 'sub'), attrs: {}, parents: [uid('Folder', 'top')] },
  ...Array.from({ length: 6 }, (_, n) => ({
    uid: uid('Doc', `d${n}`),
    attrs: {},
    parents: [uid('Folder', n % 2 ? 'sub' : 'top')],
  })),
] as EntityJson[]

const STATUS = ['open', 'closed', 'Open', 'o*en', 'öffen', 'a_b%', ''] as const
const TEXTS = ['open', 'closed', 'lost', 'o', ''] as const
const USERS = ['ann', 'bob', 'cid', 'ghost'] as const
const TEAMS = ['all', 'red', 'blue', 'ghost'] as const
const NUMBERS = [-3, 0, 1, 5, 100, 9_007_199_254_740_991] as const
export const NOW = Date.UTC(2026, 10, 25)
const DAY = 86_400_000

/** A store's row: what isn't there is null. */
export type Doc = {
  id: string
  status: string | null
  note: string | null
  total: number | null
  paid: number | null
  open: boolean | null
  due: Date | null
  hold: number | null
  owner: string | null
  team: string | null
  flags: string[] | null
  sizes: number[] | null
  readers: string[] | null
  city: string | null
  zip: number | null
}

export const docs = (of: Dice, count: number): Doc[] => {
  const maybe = <T>(make: () => T): T | null => (of.chance(0.2) ? null : make())
  const some = <T>(from: readonly [T, ...T[]]): T[] => [
    ...new Set(Array.from({ length: of.below(3) }, () => of.pick(from))),
  ]
  return Array.from({ length: count }, (_, n) => {
    const city = maybe(() => of.pick(TEXTS))
    return {
      id: `d${n}`,
      status: maybe(() => of.pick(STATUS)),
      note: maybe(() => of.pick(STATUS)),
      total: maybe(() => of.pick(NUMBERS)),
      paid: maybe(() => of.pick(NUMBERS)),
      open: maybe(() => of.chance(0.5)),
      due: maybe(() => new Date(NOW + of.pick([-2, -1, 0, 1, 2]) * DAY)),
      hold: maybe(() => of.pick([0, 60_000, DAY])),
      owner: maybe(() => of.pick(USERS)),
      team: maybe(() => of.pick(TEAMS)),
      flags: maybe(() => some(TEXTS)),
      sizes: maybe(() => some(NUMBERS)),
      readers: maybe(() => some(USERS)),
      city,
      zip: city === null ? null : maybe(() => of.pick(NUMBERS)),
    }
  })
}

/** The row as the properties that a gateway asserts of it. */
export const propertiesOf = ({ id: _, city, zip, due, hold, owner, team, readers, ...plain }: Doc) => {
  const all = {
    ...plain,
    due: due?.toISOString(),
    hold: hold === null ? null : `${hold}ms`,
    owner: owner === null ? null : uid('User', owner),
    team: team === null ? null : uid('Team', team),
    readers: readers?.map(reader => uid('User', reader)),
    address: city === null ? null : { city, ...(zip !== null && { zip }) },
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null && value !== undefined))
}

/**
 * Whether a row has all that its type requires. What it lacks of that is unknown to a decision, which may be reached
 * without it; a filter takes NULL for an attribute that is absent, and then lets the row through no more often.
 */
export const isWhole = ({ status, total, open, owner, flags }: Doc): boolean =>
  [status, total, open, owner, flags].every(value => value !== null)

export const bundleOf = (of: Dice): Bundle => {
  const policies = Array.from({ length: 1 + of.below(4) }, (_, n): [string, PolicyJson] => [
    `p${n}`,
    { ...policy(of, n === 0 ? 'permit' : of.pick(['permit', 'permit', 'forbid'])), annotations: { id: `p${n}` } },
  ])
  return {
    v: 1,
    settings: v.parse(Tenant, { tenant: 'generated', issuers: [] }),
    policies: { staticPolicies: Object.fromEntries(policies), templates: {}, templateLinks: [] },
    texts: Object.fromEntries(policies.map(([id, json]) => [id, { text: '', hash: contentHash(json) }])),
    schema,
    entities,
  }
}

const policy = (of: Dice, effect: 'permit' | 'forbid'): PolicyJson => {
  const ALL: ScopeJson = { op: 'All' }
  const principal: ScopeJson = of.pick<ScopeJson>([
    ALL,
    ALL,
    { op: 'is', entity_type: 'User' },
    { op: 'in', entity: uid('Team', 'all') },
    { op: '==', entity: uid('User', 'ann') },
  ])
  const resource: ScopeJson = of.pick<ScopeJson>([
    ALL,
    ALL,
    ALL,
    { op: 'is', entity_type: 'Doc' },
    { op: 'in', entity: uid('Folder', 'top') },
    { op: 'is', entity_type: 'Doc', in: { entity: uid('Folder', 'sub') } },
    { op: '==', entity: uid('Doc', 'd1') },
  ])
  const conditions = Array.from({ length: of.below(3) }, () => ({
    kind: of.pick(['when', 'when', 'unless'] as const),
    body: bool(of, 3),
  }))
  return { effect, principal, action: { op: 'All' }, resource, conditions }
}

const value = (json: string | number | boolean): Expr => ({ Value: json })
const RESOURCE: Expr = { Var: 'resource' }
const dot = (left: Expr, ...path: string[]): Expr =>
  path.reduce((at: Expr, attr): Expr => ({ '.': { left: at, attr } }), left)
const ref = (type: string, id: string): Expr => ({ Value: { __entity: { type, id } } })
const both = (name: string, left: Expr, right: Expr): Expr => ({ [name]: { left, right } }) as unknown as Expr

const bool = (of: Dice, depth: number): Expr => {
  if (depth > 0 && of.chance(0.55)) {
    const inner = () => bool(of, depth - 1)
    switch (of.below(6)) {
      case 0:
      case 1:
        return both('&&', inner(), inner())
      case 2:
        return both('||', inner(), inner())
      case 3:
        return { '!': { arg: inner() } }
      case 4:
        // biome-ignore lint/suspicious/noThenProperty: Cedar's format has it
        return { 'if-then-else': { if: inner(), then: inner(), else: inner() } }
      default: {
        const name = of.pick(['note', 'paid', 'due', 'team', 'readers', 'sizes', 'address'])
        return both('&&', { has: { left: RESOURCE, attr: name } }, inner())
      }
    }
  }
  const compare = of.pick(['==', '!='] as const)
  const order = of.pick(['<', '<=', '>', '>='] as const)
  switch (of.below(17)) {
    case 0:
      return both(compare, text(of), text(of))
    case 1:
      return both(order, long(of), long(of))
    case 2:
      return both(compare, long(of), long(of))
    case 3:
      return dot(RESOURCE, 'open')
    case 4:
      return both(order, time(of), time(of))
    case 5:
      return both(compare, user(of), user(of))
    case 6:
      return both('in', of.chance(0.7) ? user(of) : team(of), team(of))
    case 7:
      return both('in', user(of), dot(RESOURCE, 'readers'))
    case 8:
      return both('contains', dot(RESOURCE, 'flags'), text(of))
    case 9:
      return both('contains', { Value: [of.pick(TEXTS), of.pick(STATUS)] }, text(of))
    case 10:
      return both(of.pick(['containsAny', 'containsAll']), dot(RESOURCE, 'flags'), {
        Value: [of.pick(TEXTS), of.pick(TEXTS)],
      })
    case 11:
      return both('contains', dot(RESOURCE, 'sizes'), value(of.pick(NUMBERS)))
    case 12:
      return { isEmpty: { arg: dot(RESOURCE, of.pick(['flags', 'sizes', 'readers'])) } }
    case 13: {
      const parts: readonly [PatternElem, ...PatternElem[]] = [
        'Wildcard',
        { Literal: 'o' },
        { Literal: 'en' },
        { Literal: '*' },
        { Literal: '_' },
      ]
      const part = () => of.pick<PatternElem>(parts)
      return { like: { left: text(of), pattern: Array.from({ length: 1 + of.below(4) }, part) } }
    }
    case 14:
      return of.chance(0.5)
        ? { has: { left: RESOURCE, attr: of.pick(['note', 'paid', 'team', 'address', 'status', 'due']) } }
        : {
            has: {
              left: RESOURCE,
              attr: of.pick([
                ['address', 'zip'],
                ['team', 'budget'],
                ['owner', 'region'],
              ]),
            },
          }
    case 15:
      return both('in', RESOURCE, of.pick([ref('Folder', 'top'), ref('Folder', 'sub'), ref('Doc', 'd2')]))
    default:
      return of.chance(0.3)
        ? { lessThan: [dot(RESOURCE, 'rate'), { decimal: [value('1.5')] }] }
        : { is: { left: user(of), entity_type: 'User' } }
  }
}

const text = (of: Dice): Expr =>
  of.pick<() => Expr>([
    () => dot(RESOURCE, 'status'),
    () => dot(RESOURCE, 'status'),
    () => dot(RESOURCE, 'note'),
    () => dot(RESOURCE, 'address', 'city'),
    () => dot(RESOURCE, 'owner', 'region'),
    () => dot({ Var: 'principal' }, 'region'),
    () => dot({ Var: 'context' }, 'arguments', 'word'),
    () => value(of.pick(STATUS)),
    () => value(of.pick(TEXTS)),
  ])()

const long = (of: Dice): Expr =>
  of.pick<() => Expr>([
    () => dot(RESOURCE, 'total'),
    () => dot(RESOURCE, 'total'),
    () => dot(RESOURCE, 'paid'),
    () => dot(RESOURCE, 'address', 'zip'),
    () => dot(RESOURCE, 'owner', 'level'),
    () => dot(RESOURCE, 'team', 'budget'),
    () => dot({ Var: 'principal' }, 'level'),
    () => dot({ Var: 'context' }, 'arguments', 'amount'),
    () => value(of.pick(NUMBERS)),
    () => both('+', dot({ Var: 'principal' }, 'level'), value(of.pick(NUMBERS))),
    () => both('+', dot(RESOURCE, 'owner', 'level'), value(1)),
  ])()

const time = (of: Dice): Expr =>
  of.pick<() => Expr>([
    () => dot(RESOURCE, 'due'),
    () => dot({ Var: 'context' }, 'now'),
    () => ({ offset: [{ datetime: [value('2026-11-25')] }, { duration: [value(of.pick(['1d', '-1d', '1ms']))] }] }),
  ])()

const user = (of: Dice): Expr =>
  of.pick<() => Expr>([
    () => dot(RESOURCE, 'owner'),
    () => dot(RESOURCE, 'owner'),
    () => ({ Var: 'principal' }),
    () => ref('User', of.pick(USERS)),
  ])()

const team = (of: Dice): Expr =>
  of.pick<() => Expr>([
    () => dot(RESOURCE, 'team'),
    () => dot(RESOURCE, 'owner', 'team'),
    () => dot({ Var: 'principal' }, 'team'),
    () => ref('Team', of.pick(TEAMS)),
  ])()

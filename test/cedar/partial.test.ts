import { expect, test } from 'vitest'
import { entityData, loadEntities, NO_ENTITIES, overlay } from '../../src/cedar/entities.ts'
import type { EntityUid, Expr, PolicyJson } from '../../src/cedar/json.ts'
import { evaluatePartially, type Finished, finish } from '../../src/cedar/partial.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import type { Type } from '../../src/cedar/type.ts'
import { entityRef, recordOf, setOf, unknown, type Value } from '../../src/cedar/value.ts'

const uid = (type: string, id: string): EntityUid => ({ type, id })
const [ann, read, file] = [uid('User', 'ann'), uid('Action', 'read'), uid('File', 'f')]
const LONG: Type = { kind: 'long' }
const BOOL: Type = { kind: 'bool' }

const context = (attr: string): Expr => ({ '.': { left: { Var: 'context' }, attr } })
const lit = (value: number | boolean | string): Expr => ({ Value: value })
const lessThanFive = (left: Expr): Expr => ({ '<': { left, right: lit(5) } })
const and = (left: Expr, right: Expr): Expr => ({ '&&': { left, right } })
const or = (left: Expr, right: Expr): Expr => ({ '||': { left, right } })
const same = (left: Expr, right: Expr): Expr => ({ '==': { left, right } })
const unknowns = (...names: string[]) => names.map(name => ({ unknown: name }))
const [x = lit(0), y = lit(0)] = unknowns('x', 'y')

/** What remains of a policy with one condition. */
function remains(body: Expr, fields: Record<string, Value>, parts: Partial<PolicyJson> = {}): Finished | Expr {
  const all = { op: 'All' } as const
  const conditions = [{ kind: 'when', body } as const]
  const policy: PolicyJson = { effect: 'permit', principal: all, action: all, resource: all, conditions, ...parts }
  const policies = loadPolicies({ staticPolicies: { policy } })
  const request = { principal: ann, action: read, resource: file, context: recordOf(Object.entries(fields)) }
  const { satisfied, errored, residual } = evaluatePartially(policies, request, NO_ENTITIES).permit
  for (const { code, message } of errored) return { kind: 'fault', code, message }
  return satisfied.length > 0 || (residual[0]?.expr ?? false)
}

test('what is known is put in, and the rest is plain JSON', () => {
  const body = and(same(context('a'), lit('a')), { '<=': { left: context('x'), right: context('big') } })
  expect(remains(body, { a: 'a', x: unknown('x', LONG), big: 9223372036854775807n })).toEqual({
    '<=': { left: x, right: { toMilliseconds: [{ duration: [{ Value: '9223372036854775807ms' }] }] } },
  })
})

test('a false operand decides only where the other can’t err', () => {
  const body = and(lessThanFive(context('x')), context('no'))
  expect(remains(body, { x: unknown('x', LONG), no: false })).toBe(false)
  expect(remains(body, { x: unknown('x'), no: false })).toEqual(and(lessThanFive(x), lit(false)))
  expect(remains(or(lessThanFive(context('x')), context('yes')), { x: unknown('x', LONG), yes: true })).toBe(true)
  expect(remains(or(lessThanFive(context('x')), context('yes')), { x: unknown('x'), yes: true })).toEqual(
    or(lessThanFive(x), lit(true)),
  )
  const sum: Expr = lessThanFive({ '+': { left: context('x'), right: lit(1) } })
  expect(remains(and(sum, lit(false)), { x: unknown('x', LONG) })).not.toBe(false)
})

test('a boolean operator makes sure of booleans, wherever it stands', () => {
  for (const [body, answer] of [
    [and(context('x'), lit(true)), 'type_mismatch'],
    [and(lit(true), context('x')), 'type_mismatch'],
    [or(context('x'), lit(false)), 'type_mismatch'],
    [or(lit(false), context('x')), 'type_mismatch'],
    // biome-ignore lint/suspicious/noThenProperty: Cedar's format has it
    [{ 'if-then-else': { if: context('x'), then: lit(true), else: lit(false) } }, 'type_mismatch'],
  ] as const) {
    // Compared with itself, what isn't a boolean would pass unseen.
    const left = remains(same(body, context('x')), { x: unknown('x') }) as Expr
    expect(finish(left, () => 5)).toMatchObject({ kind: 'fault', code: answer })
    expect(finish(left, () => true)).toBe(true)
    const typed = remains(same(body, context('x')), { x: unknown('x', BOOL) })
    expect(typed).toEqual(same(x, x))
  }
})

test('an error on one path is met on that path only', () => {
  const overflow: Expr = same({ '+': { left: context('big'), right: lit(1) } }, lit(0))
  const left = remains(and(context('x'), overflow), { x: unknown('x', BOOL), big: 9223372036854775807n }) as Expr
  expect(finish(left, () => false)).toBe(false)
  expect(finish(left, () => true)).toMatchObject({ kind: 'fault', message: expect.stringContaining('overflow') })
  expect(remains(and(overflow, context('x')), { x: unknown('x'), big: 9223372036854775807n })).toMatchObject({
    code: 'overflow',
  })
  expect(remains(same(context('x'), overflow), { x: unknown('x'), big: 9223372036854775807n })).toMatchObject({
    code: 'overflow',
  })
})

test('a step that needs an unknown is no value, even inside a record', () => {
  const tag: Expr = { getTag: { left: context('x'), right: lit('t') } }
  const body: Expr = { has: { left: { Record: { a: tag } }, attr: 'b' } }
  const left = remains(body, { x: unknown('x') }) as Expr
  expect(finish(left, () => entityRef('User', 'nobody'), NO_ENTITIES)).toMatchObject({ code: 'missing_entity' })
})

test('declared attributes of an unknown record are there; optional ones may not be', () => {
  const session: Type = {
    kind: 'record',
    attributes: new Map([
      ['count', { type: LONG, required: true }],
      ['note', { type: LONG, required: false }],
    ]),
    open: false,
  }
  const asks = (attr: string) => and(lessThanFive({ '.': { left: context('x'), attr } }), lit(false))
  expect(remains(asks('count'), { x: unknown('x', session) })).toBe(false)
  expect(remains(asks('note'), { x: unknown('x', session) })).not.toBe(false)
})

test('sets of which only some members are known', () => {
  const fields = { open: setOf([1, unknown('x')]), one: setOf([1]), n: 1, m: 2 }
  expect(remains({ contains: { left: context('open'), right: context('n') } }, fields)).toBe(true)
  expect(remains({ isEmpty: { arg: context('open') } }, fields)).toBe(false)
  for (const name of ['containsAll', 'containsAny'] as const) {
    const body = { [name]: { left: context('one'), right: context('open') } } as Expr
    expect(remains(body, fields)).toEqual({ [name]: { left: { Value: [1] }, right: { Set: [lit(1), x] } } })
  }
  const left = remains({ contains: { left: context('open'), right: context('m') } }, fields) as Expr
  expect(finish(left, () => 2)).toBe(true)
  expect(finish(left, () => 3)).toBe(false)
})

test('without entities, what asks about one remains', () => {
  const group = uid('Group', 'g')
  const inGroup: Expr = { in: { left: x, right: { Value: { __entity: group } } } }
  const store = loadEntities([{ uid: ann, attrs: { level: 1 }, parents: [group], tags: { t: true } }])
  const lookup = () => entityRef('User', 'ann')
  for (const [expr, answer] of [
    [inGroup, true],
    [{ has: { left: x, attr: 'level' } }, true],
    [{ has: { left: x, attr: 'other' } }, false],
    [same({ '.': { left: x, attr: 'level' } }, lit(1)), true],
    [{ hasTag: { left: x, right: lit('t') } }, true],
    [{ getTag: { left: x, right: lit('t') } }, true],
  ] as const) {
    expect(finish(expr, lookup)).toMatchObject({ kind: 'residual', needsEntities: true, unknowns: [] })
    expect(finish(expr, lookup, store)).toBe(answer)
  }
  expect(finish(inGroup, () => entityRef('Group', 'g'))).toBe(true)
})

test('an unknown principal, by its type or by none', () => {
  const all = { op: 'All' } as const
  const policy = (principal: PolicyJson['principal']): PolicyJson => ({
    effect: 'forbid',
    principal,
    action: all,
    resource: all,
    conditions: [],
  })
  const policies = loadPolicies({
    staticPolicies: {
      all: policy(all),
      users: policy({ op: 'is', entity_type: 'User' }),
      robots: policy({ op: 'is', entity_type: 'Robot' }),
      ann: policy({ op: '==', entity: ann }),
      robot: policy({ op: '==', entity: uid('Robot', 'r') }),
      group: policy({ op: 'in', entity: uid('Group', 'g') }),
      typed: policy({ op: 'is', entity_type: 'User', in: { entity: uid('Group', 'g') } }),
    },
  })
  const ask = (type?: string) => {
    const principal = type === undefined ? { unknown: 'p' } : { unknown: 'p', type }
    const request = { principal, action: read, resource: file, context: recordOf([]) }
    return evaluatePartially(policies, request, NO_ENTITIES).forbid
  }
  expect(ask('User').satisfied.toSorted()).toEqual(['all', 'users'])
  expect(
    ask('User')
      .residual.map(({ policyId }) => policyId)
      .sort(),
  ).toEqual(['ann', 'group', 'typed'])
  expect(ask().satisfied).toEqual(['all'])
  expect(ask().residual).toHaveLength(6)
  expect(ask('User').residual.find(({ policyId }) => policyId === 'typed')).toMatchObject({
    expr: { in: { left: { unknown: 'p' }, right: { Value: { __entity: uid('Group', 'g') } } } },
    unknowns: ['p'],
    needsEntities: true,
  })
})

test('unknown attributes of entities, and each unknown named once', () => {
  const store = overlay(NO_ENTITIES, [entityData(ann, [['x', unknown('x', LONG)], ['y', unknown('y', LONG)]])]) // biome-ignore format: one line
  const attr = (name: string): Expr => ({ '.': { left: { Var: 'principal' }, attr: name } })
  const body = and(same(attr('x'), attr('y')), lessThanFive(attr('x')))
  const request = { principal: ann, action: read, resource: file, context: recordOf([]) }
  const conditions = [{ kind: 'unless', body } as const]
  const all = { op: 'All' } as const
  const policy: PolicyJson = { effect: 'permit', principal: all, action: all, resource: all, conditions }
  const { residual } = evaluatePartially(loadPolicies({ staticPolicies: { policy } }), request, store).permit
  expect(residual).toEqual([
    {
      kind: 'residual',
      policyId: 'policy',
      expr: { '!': { arg: and(same(x, y), lessThanFive(x)) } },
      unknowns: ['x', 'y'],
      needsEntities: false,
    },
  ])
})

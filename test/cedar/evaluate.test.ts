import { expect, test } from 'vitest'
import { loadEntities, NO_ENTITIES } from '../../src/cedar/entities.ts'
import { authorize, candidates, evaluate } from '../../src/cedar/evaluate.ts'
import type { EntityUid, Expr, PolicyJson } from '../../src/cedar/json.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import { recordOf, setOf, unknown, type Value } from '../../src/cedar/value.ts'
import {
  entities as generatedEntities,
  policy as generatedPolicy,
  request as generatedRequest,
  generator,
} from './generate.ts'

const uid = (type: string, id: string): EntityUid => ({ type, id })
const ann = uid('User', 'ann')
const read = uid('Action', 'read')
const file = uid('File', 'f')

function policy(body: Expr | undefined, parts: Partial<PolicyJson> = {}): PolicyJson {
  const conditions = body === undefined ? [] : [{ kind: 'when', body } as const]
  const all = { op: 'All' } as const
  return { effect: 'permit', principal: all, action: all, resource: all, conditions, ...parts }
}

function request(context: readonly (readonly [string, Value])[] = []) {
  return { principal: ann, action: read, resource: file, context: recordOf(context) }
}

const contextX: Expr = { '.': { left: { Var: 'context' }, attr: 'x' } }

test('policies stand under their effect, with the code of their error', () => {
  const policies = loadPolicies({
    staticPolicies: {
      yes: policy(undefined),
      no: policy({ Value: false }),
      error: policy(contextX),
      number: policy({ Value: 1 }, { effect: 'forbid' }),
    },
  })
  const { permit, forbid } = evaluate(policies, request(), NO_ENTITIES)
  expect(permit.satisfied).toEqual(['yes'])
  expect(permit.errored).toMatchObject([{ policyId: 'error', code: 'missing_attribute' }])
  expect(forbid.errored).toMatchObject([{ policyId: 'number', code: 'type_mismatch' }])
})

test('a forbid wins, and an erring one is left out', () => {
  const permit = policy(undefined)
  const forbid = policy(contextX, { effect: 'forbid' })
  const policies = loadPolicies({ staticPolicies: { permit, forbid } })
  expect(authorize(policies, request([['x', true]]), NO_ENTITIES)).toMatchObject({
    decision: 'deny',
    reasons: ['forbid'],
  })
  expect(authorize(policies, request([['x', false]]), NO_ENTITIES)).toMatchObject({
    decision: 'allow',
    reasons: ['permit'],
  })
  expect(authorize(policies, request(), NO_ENTITIES)).toMatchObject({
    decision: 'allow',
    errors: [{ policyId: 'forbid' }],
  })
})

test('what needs an unknown is neither true nor false nor an error', () => {
  const policies = loadPolicies({
    staticPolicies: {
      needs: policy(contextX),
      compares: policy({ '==': { left: contextX, right: { Value: 1 } } }),
      inside: policy({ contains: { left: { '.': { left: { Var: 'context' }, attr: 's' } }, right: { Value: 2 } } }),
      whole: policy({ '==': { left: { Var: 'context' }, right: { Record: {} } } }),
      shortCut: policy({ '&&': { left: { Value: false }, right: contextX } }),
      present: policy({ has: { left: { Var: 'context' }, attr: 'x' } }),
    },
  })
  const context = [['x', unknown('x')], ['s', setOf([1, unknown('y')])]] as const // biome-ignore format: one line
  const { permit } = evaluate(policies, request(context), NO_ENTITIES)
  expect(permit.unknown.toSorted()).toEqual(['compares', 'inside', 'needs', 'whole'])
  expect(permit.satisfied).toEqual(['present'])
  expect(() => authorize(policies, request(context), NO_ENTITIES)).toThrow('hangs on unknowns')
})

test('expressions that are no expressions err when they are met, and only then', () => {
  const broken = policy({ nonsense: {} } as never)
  const policies = loadPolicies({ staticPolicies: { broken, deep: policy(nested(100_000)), fine: policy(undefined) } })
  const { permit } = evaluate(policies, request(), NO_ENTITIES)
  expect(permit.satisfied).toEqual(['fine'])
  expect(permit.errored).toMatchObject([{ code: 'malformed' }, { code: 'too_deep' }])
})

function nested(depth: number): Expr {
  let expr: Expr = { Value: true }
  for (let i = 0; i < depth; i++) expr = { '!': { arg: expr } }
  return expr
}

test('scopes match by entity, ancestor, type, and template link', () => {
  const entities = loadEntities([
    { uid: ann, attrs: {}, parents: [uid('Group', 'g')] },
    { uid: read, attrs: {}, parents: [uid('Action', 'all'), uid('Action', 'other')] },
  ])
  const scoped = (parts: Partial<PolicyJson>) => policy(undefined, parts)
  const policies = loadPolicies({
    staticPolicies: {
      group: scoped({ principal: { op: 'in', entity: uid('Group', 'g') } }),
      otherGroup: scoped({ principal: { op: 'in', entity: uid('Group', 'h') } }),
      exactly: scoped({ principal: { op: '==', entity: { __entity: ann } } }),
      actions: scoped({ action: { op: 'in', entities: [uid('Action', 'all'), uid('Action', 'other'), read] } }),
      noAction: scoped({ action: { op: 'in', entities: [] } }),
      typed: scoped({ principal: { op: 'is', entity_type: 'User', in: { entity: uid('Group', 'g') } } }),
      wrongType: scoped({ principal: { op: 'is', entity_type: 'Robot', in: { entity: uid('Group', 'g') } } }),
      file: scoped({ resource: { op: 'is', entity_type: 'File' } }),
    },
    templates: {
      t: scoped({ principal: { op: 'in', slot: '?principal' }, resource: { op: '==', slot: '?resource' } }),
    },
    templateLinks: [
      { templateId: 't', newId: 'link', values: { '?principal': uid('Group', 'g'), '?resource': file } },
      { templateId: 't', newId: 'otherLink', values: { '?principal': ann, '?resource': uid('File', 'g') } },
    ],
  })
  const expected = ['actions', 'exactly', 'file', 'group', 'link', 'typed']
  expect(evaluate(policies, request(), entities).permit.satisfied.toSorted()).toEqual(expected)
  const found = candidates(policies, request(), entities).map(({ id }) => id)
  expect(found.toSorted()).toEqual(expected)
  expect(policies.get('link')).toMatchObject({ templateId: 't', effect: 'permit' })
})

test.each([
  {},
  { Value: null },
  { Value: 1.5 },
  { Var: 'nobody' },
  { '==': { left: { Value: 1 } } },
  { '!': { arg: { Value: true } }, neg: { arg: { Value: 1 } } },
  { has: { left: { Var: 'context' }, attr: [] } },
  { has: { left: { Var: 'context' }, attr: [1] } },
  { like: { left: { Value: '' }, pattern: ['wildcard'] } },
  { unknown: [{ Value: 'x' }] },
  { decimal: '1.0' },
  { Set: {} },
])('%j is no expression', body => {
  const policies = loadPolicies({ staticPolicies: { p: policy(body as never) } })
  expect(evaluate(policies, request(), NO_ENTITIES).permit.errored).toMatchObject([{ code: 'malformed' }])
})

test('a policy is found among hundreds whenever it is found alone', () => {
  for (let seed = 0; seed < 20; seed++) {
    const g = generator(seed)
    const staticPolicies = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`p${i}`, generatedPolicy(g)]))
    const all = loadPolicies({ staticPolicies })
    const alone = Object.entries(staticPolicies).map(([id, json]) => loadPolicies({ staticPolicies: { [id]: json } }))
    const entities = loadEntities(generatedEntities(g))
    for (let i = 0; i < 20; i++) {
      const asked = generatedRequest(g)
      const found = candidates(all, asked, entities).map(({ id }) => id)
      const expected = alone.flatMap(one => candidates(one, asked, entities).map(({ id }) => id))
      expect(found.toSorted()).toEqual(expected.toSorted())
    }
  }
})

test('what is no policy set is refused when it is loaded', () => {
  const link = { templateId: 't', newId: 'l', values: {} }
  const t = policy(undefined, { principal: { op: '==', slot: '?principal' } })
  expect(() => loadPolicies({ templateLinks: [link] })).toThrow('no template')
  expect(() => loadPolicies({ templates: { t }, templateLinks: [link] })).toThrow('no value for `?principal`')
  expect(() =>
    loadPolicies({
      templates: { t },
      templateLinks: [{ ...link, values: { '?principal': ann, '?resource': file } }],
    }),
  ).toThrow('the template has no `?resource`')
  expect(() => loadPolicies({ staticPolicies: { t } })).toThrow('no value for `?principal`')
  expect(() => loadPolicies({ staticPolicies: { p: policy(undefined, { principal: { op: 'x' } as never }) } })).toThrow(
    'malformed scope',
  )
})

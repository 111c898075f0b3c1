import { expect, test } from 'vitest'
import { entityData, loadEntities, overlay } from '../../src/cedar/entities.ts'
import type { EntityJson, EntityUid } from '../../src/cedar/json.ts'
import { loadSchema } from '../../src/cedar/schema.ts'
import { entityRef, equals, recordOf, setOf } from '../../src/cedar/value.ts'

const uid = (id: string, type = 'Group'): EntityUid => ({ type, id })
const key = (id: string, type = 'Group') => entityRef(type, id).key

function entity(id: string, parents: readonly string[] = [], attrs: EntityJson['attrs'] = {}): EntityJson {
  return { uid: uid(id), attrs, parents: parents.map(parent => uid(parent)) }
}

test('ancestors are near and far, and need not exist', () => {
  const store = loadEntities([entity('a', ['b']), entity('b', ['c', 'd']), entity('c', ['elsewhere'])])
  expect(store.get(key('a'))?.ancestors).toEqual(new Set(['b', 'c', 'd', 'elsewhere'].map(id => key(id))))
})

test('cycles and contradictions are refused', () => {
  expect(() => loadEntities([entity('a', ['b']), entity('b', ['a'])])).toThrow('descends from itself')
  expect(() => loadEntities([entity('a', ['a'])])).toThrow('descends from itself')
  expect(() => loadEntities([entity('a', [], { x: 1 }), entity('a', [], { x: 2 })])).toThrow('two different entities')
  expect(loadEntities([entity('a', ['b'], { x: 1 }), entity('a', ['b'], { x: 1 })]).get(key('a'))).toBeDefined()
})

test('a schema reads attributes without escapes and brings its actions', () => {
  const schema = loadSchema({
    NS: {
      entityTypes: {
        User: {
          shape: {
            type: 'Record',
            attributes: { ip: { type: 'ipaddr' }, boss: { type: 'EntityOrCommon', name: 'User' } },
          },
          tags: { type: 'decimal' },
        },
      },
      actions: { view: { memberOf: [{ id: 'all' }] }, all: { memberOf: [{ id: 'any', type: 'Action' }] }, any: {} },
    },
  })
  const boss = { type: 'NS::User', id: 'b' }
  const user = { uid: boss, attrs: { ip: '::1', boss }, parents: [], tags: { t: '1.5' } }
  const store = loadEntities([user], schema)
  const attrs = store.get(key('b', 'NS::User'))?.attrs
  expect(attrs?.get('boss')).toEqual(entityRef('NS::User', 'b'))
  expect(attrs?.get('ip')).toMatchObject({ kind: 'ipaddr', version: 6 })
  expect(store.get(key('b', 'NS::User'))?.tags.get('t')).toMatchObject({ kind: 'decimal', scaled: 15000 })
  expect(store.get(key('view', 'NS::Action'))?.ancestors).toEqual(
    new Set([key('all', 'NS::Action'), key('any', 'NS::Action')]),
  )
  expect(() => loadEntities([{ ...user, attrs: { ...user.attrs, no: 1 } }], schema)).toThrow('undeclared')
  expect(() => loadEntities([{ ...user, uid: uid('x', 'Nobody') }], schema)).toThrow('no such type')
})

test('an overlay replaces what it gives and keeps the rest', () => {
  const base = loadEntities([entity('a', ['b'], { x: 1, y: 2 }), entity('b', ['c'])])
  const store = overlay(base, [entityData(uid('a'), [['y', 3]]), entityData(uid('new'), [['z', 4]], [uid('a')])])
  expect([...(store.get(key('a'))?.attrs ?? [])]).toEqual([
    ['x', 1],
    ['y', 3],
  ])
  expect(store.get(key('a'))?.ancestors).toEqual(new Set([key('b'), key('c')]))
  expect(store.get(key('new'))?.ancestors).toEqual(new Set([key('a'), key('b'), key('c')]))
  expect(base.get(key('a'))?.attrs.get('y')).toBe(2)
  for (const id of ['a', 'b', 'new', 'c']) expect(store.find(uid(id))).toBe(store.get(key(id)))
  expect(store.find(uid('a', 'Other'))).toBeUndefined()
  expect([...store.values()].map(({ uid }) => uid.id).sort()).toEqual(['a', 'b', 'new'])
})

test('new parents reach what stands below in the base', () => {
  const base = loadEntities([entity('a', ['b']), entity('b'), entity('z', ['a'])])
  const store = overlay(base, [entityData(uid('b'), [], [uid('c')])])
  expect(store.get(key('z'))?.ancestors).toEqual(new Set([key('a'), key('b'), key('c')]))
  expect(() => overlay(base, [entityData(uid('b'), [], [uid('z')])])).toThrow('descends from itself')
})

test('sets of sets compare', () => {
  expect(equals(setOf([recordOf([['a', 1]])]), setOf([recordOf([['a', 1]])]))).toBe(true)
})

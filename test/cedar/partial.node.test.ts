import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type EntityData, entityData, loadEntities, overlay } from '../../src/cedar/entities.ts'
import { evaluate, type Request } from '../../src/cedar/evaluate.ts'
import type { EntityUid, PolicyJson } from '../../src/cedar/json.ts'
import { evaluatePartially, type Finished, finish, type PartialRequest } from '../../src/cedar/partial.ts'
import { loadPolicies, type PolicySet } from '../../src/cedar/policies.ts'
import type { Type } from '../../src/cedar/type.ts'
import { entityRef, recordOf, setOf, unknown, type Value } from '../../src/cedar/value.ts'
import { valueFromJson } from '../../src/cedar/value-json.ts'
import {
  chance,
  entities,
  expression,
  type Generate,
  generator,
  int,
  KINDS,
  type Kind,
  pick,
  policy,
  request,
  value,
} from './generate.ts'

const COMPARISONS = 50_000

test('a residual, completed, says what evaluating in full says', () => {
  const seen = { comparisons: 0, residuals: 0, decided: 0, errors: 0 }
  fc.assert(
    fc.property(fc.integer(), seed => {
      const g = generator(seed)
      const question = generate(g)
      const partial = partially(question)
      const all = completions(question.unknowns)
      // A certain answer is soon checked; residuals are what the test is about.
      for (const completion of typeof partial === 'string' ? all.slice(-4) : all) {
        const expected = fully(question, completion)
        seen.comparisons++
        seen.errors += expected === 'error' ? 1 : 0
        if (typeof partial === 'string') {
          seen.decided++
          expect(partial).toBe(expected)
        } else {
          seen.residuals++
          for (const finished of finishings(question, partial, completion)) expect(finished).toBe(expected)
        }
      }
    }),
    { numRuns: 9_000, endOnFailure: true },
  )
  expect(seen.comparisons).toBeGreaterThanOrEqual(COMPARISONS)
  expect(seen.residuals).toBeGreaterThan(seen.comparisons / 4)
  expect(seen.errors).toBeGreaterThan(seen.comparisons / 40)
  console.log(seen)
})

/** A policy, and a request with unknowns. */
interface Question {
  readonly policies: PolicySet
  readonly json: PolicyJson
  readonly request: PartialRequest
  readonly store: ReturnType<typeof loadEntities>
  readonly extra: readonly EntityData[]
  readonly unknowns: readonly Domain[]
}

interface Domain {
  readonly name: string
  readonly values: readonly Value[]
}

type Completion = ReadonlyMap<string, Value>
type Answer = 'true' | 'false' | 'error'

function generate(g: Generate): Question {
  const unknowns: Domain[] = []
  const json = policyOf(g)
  const { principal, action, resource, context } = request(g)
  const fields = Object.entries(context).map(([name, field]): [string, Value] => [name, valueFromJson(field)])
  const extra: EntityData[] = []
  const few = int(g, 1, 5)
  for (let i = 0; i < few; i++) {
    const kind = pick(g, i % 2 === 0 ? (['bool', 'long'] as const) : KINDS)
    const placed = newUnknown(g, unknowns, kind)
    switch (int(g, 0, 8)) {
      case 0:
        fields.push(['record', recordOf([[kind, placed], ['long', 1]])]) // biome-ignore format: one line
        break
      case 1:
        fields.push(['longs', setOf([1, placed])])
        break
      case 2:
        extra.push(entityData(chance(g, 2) ? principal : resource, [[kind, placed]]))
        break
      default:
        fields.push([kind, placed])
    }
  }
  return {
    policies: loadPolicies({ staticPolicies: { policy: json } }),
    json,
    request: {
      principal: chance(g, 6) ? unknownEntity(g, unknowns, principal.type) : principal,
      action: chance(g, 12) ? unknownEntity(g, unknowns, action.type) : action,
      resource: chance(g, 6) ? unknownEntity(g, unknowns, resource.type) : resource,
      context: recordOf(fields),
    },
    store: loadEntities(entities(g)),
    extra,
    unknowns,
  }
}

/** Mostly one that applies to all, and whose conditions are worth looking at. */
function policyOf(g: Generate): PolicyJson {
  const json = policy(g)
  if (chance(g, 5)) return json
  const all = { op: 'All' } as const
  const conditions = Array.from({ length: int(g, 1, 2) }, () => ({
    kind: pick(g, ['when', 'unless'] as const),
    body: expression(g, 'bool', int(g, 2, 4)),
  }))
  return { ...json, principal: all, action: all, resource: all, conditions }
}

function newUnknown(g: Generate, unknowns: Domain[], kind: Kind): Value {
  const name = `u${unknowns.length}`
  const typed = !chance(g, 4)
  const values = Array.from({ length: 2 }, () => valueFromJson(value(g, typed ? kind : pick(g, KINDS), 1)))
  unknowns.push({ name, values })
  return unknown(name, typed ? typeOf(kind, values) : undefined)
}

function unknownEntity(g: Generate, unknowns: Domain[], type: string) {
  const name = `u${unknowns.length}`
  const ids = type === 'Action' ? ['read', 'write', 'all'] : ['a', '"b"']
  unknowns.push({ name, values: ids.map(id => entityRef(type, id)) })
  return chance(g, 2) ? { unknown: name } : { unknown: name, type }
}

function typeOf(kind: Kind, values: readonly Value[]): Type | undefined {
  switch (kind) {
    case 'longs':
      return { kind: 'set', element: { kind: 'long' } }
    case 'entities': {
      const pure = values.every(set => typeof set === 'object' && set.kind === 'set' && set.entities)
      return pure ? { kind: 'set', element: { kind: 'entity', name: '', ids: undefined } } : undefined
    }
    case 'record':
      return { kind, attributes: attributesOf(values), open: true }
    case 'entity': {
      const types = new Set(
        values.map(entity => (typeof entity === 'object' && entity.kind === 'entity' ? entity.type : '')),
      )
      return types.size === 1 ? { kind, name: [...types].join(), ids: undefined } : undefined
    }
    case 'ip':
      return { kind: 'ipaddr' }
    default:
      return { kind }
  }
}

/** Of those simple attributes that every one of the records has. */
function attributesOf(values: readonly Value[]) {
  const simple = (['long', 'bool', 'string'] as const).filter(name =>
    values.every(record => typeof record === 'object' && record.kind === 'record' && record.fields.has(name)),
  )
  return new Map(simple.map(kind => [kind, { type: { kind }, required: true }] as const))
}

function completions(unknowns: readonly Domain[]): Completion[] {
  return unknowns.reduce<Completion[]>(
    (all, { name, values }) => all.flatMap(one => values.map(known => new Map([...one, [name, known]]))),
    [new Map()],
  )
}

function partially({ policies, json, request, store, extra }: Question) {
  const { permit, forbid } = evaluatePartially(policies, request, overlay(store, extra))
  const { satisfied, errored, residual } = json.effect === 'permit' ? permit : forbid
  expect([...permit.satisfied, ...permit.errored, ...forbid.satisfied, ...forbid.errored].length).toBeLessThan(2)
  if (satisfied.length > 0) return 'true'
  return errored.length > 0 ? 'error' : (residual[0] ?? 'false')
}

function fully({ policies, json, request, store, extra }: Question, completion: Completion): Answer {
  const concrete: Request = {
    principal: entityIn(request.principal, completion),
    action: entityIn(request.action, completion),
    resource: entityIn(request.resource, completion),
    context: recordOf([...recordIn(request.context, completion)]),
  }
  const { satisfied, errored, unknown } = evaluate(policies, concrete, storeIn(store, extra, completion))[json.effect]
  expect(unknown).toEqual([])
  return satisfied.length > 0 ? 'true' : errored.length > 0 ? 'error' : 'false'
}

/** In one go; from its JSON text; in two goes; and, where it says it can, without entities. */
function finishings(
  question: Question,
  residual: Exclude<Finished, boolean> & { kind: 'residual' },
  completion: Completion,
) {
  const { expr, unknowns, needsEntities } = residual
  expect(unknowns.every(name => completion.has(name))).toBe(true)
  const store = storeIn(question.store, question.extra, completion)
  const lookup = (name: string) => completion.get(name)
  const [first] = unknowns
  const halfway = finish(expr, name => (name === first ? lookup(name) : undefined), needsEntities ? store : undefined)
  return [
    answer(finish(expr, lookup, store)),
    answer(finish(JSON.parse(JSON.stringify(expr)), lookup, store)),
    answer(typeof halfway === 'object' && halfway.kind === 'residual' ? finish(halfway.expr, lookup, store) : halfway),
    ...(needsEntities ? [] : [answer(finish(expr, lookup))]),
  ]
}

function answer(finished: Finished): Answer | 'residual' {
  if (typeof finished === 'boolean') return finished ? 'true' : 'false'
  return finished.kind === 'fault' ? 'error' : 'residual'
}

function storeIn(store: Question['store'], extra: readonly EntityData[], completion: Completion) {
  return overlay(
    store,
    extra.map(entity => ({
      ...entity,
      attrs: new Map([...entity.attrs].map(([k, v]) => [k, valueIn(v, completion)])),
    })),
  )
}

function entityIn(part: PartialRequest['principal'], completion: Completion): EntityUid {
  if (!('unknown' in part)) return part
  const known = completion.get(part.unknown)
  if (typeof known !== 'object' || known.kind !== 'entity') throw new Error(`${part.unknown} is no entity`)
  return known
}

function recordIn(context: PartialRequest['context'], completion: Completion): Iterable<[string, Value]> {
  if (context.kind === 'unknown') throw new Error('contexts are records here')
  return [...context.fields].map(([name, field]) => [name, valueIn(field, completion)])
}

function valueIn(open: Value, completion: Completion): Value {
  if (typeof open !== 'object') return open
  if (open.kind === 'unknown') return completion.get(open.name) ?? open
  if (open.kind === 'set') return setOf(open.items.map(item => valueIn(item, completion)))
  return open.kind === 'record' ? recordOf(recordIn(open, completion)) : open
}

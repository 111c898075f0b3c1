import { describe, expect, it } from 'vitest'
import { readAnnotations } from '../../src/policy/annotations.ts'
import { metersOf } from '../../src/policy/meters.ts'

const read = (annotations: Record<string, string>, effect: 'permit' | 'forbid' = 'permit') =>
  readAnnotations({ id: annotations.id ?? 'p', effect, textHash: 'h' }, Object.entries(annotations))

describe('annotations are read strictly', () => {
  it.each([
    ['20/h', [{ capacity: 20, windowMs: 3_600_000, per: 'agent' }]],
    ['5/10m per resource', [{ capacity: 5, windowMs: 600_000, per: 'resource' }]],
    ['1/30s per agent', [{ capacity: 1, windowMs: 30_000, per: 'agent' }]],
    ['3/2d  per  action', [{ capacity: 3, windowMs: 172_800_000, per: 'action' }]],
    [
      '5/m, 60/h per resource',
      [
        { capacity: 5, windowMs: 60_000, per: 'agent' },
        { capacity: 60, windowMs: 3_600_000, per: 'resource' },
      ],
    ],
  ])('@limit("%s")', (limit, limits) => {
    expect(read({ id: 'p', limit })).toEqual({
      rule: { id: 'p', effect: 'permit', textHash: 'h', limits, sets: [], clamps: [], mask: [] },
      problems: [],
    })
    expect(read({ id: 'p', limit }, 'forbid').rule.limits).toEqual(limits)
  })

  it.each([
    '',
    '20',
    '0/h',
    '20/w',
    '20/h per',
    '20/h per user',
    '-1/h',
    '1.5/h',
    '20 / h',
    '20/h,',
    '5/h, 6/h',
    '99999999/h',
  ])('@limit("%s") is refused', limit => {
    const { problems } = read({ id: 'p', limit })
    expect(problems).toEqual([expect.objectContaining({ annotation: 'limit', hint: expect.stringContaining('20/h') })])
  })

  it.each([
    ['limits', 'did you mean @limit?'],
    ['lmit', 'did you mean @limit?'],
    ['Limit', 'did you mean @limit?'],
    ['ID', 'did you mean @id?'],
    ['dco', 'did you mean @doc?'],
    ['redact', expect.stringContaining('there are @id, @doc, @limit')],
    ['constructor', expect.stringContaining('there are @id, @doc, @limit')],
    ['__proto__', expect.stringContaining('there are @id, @doc, @limit')],
  ])('@%s is unknown', (annotation, hint) => {
    const { problems } = readAnnotations({ id: 'p', effect: 'permit', textHash: 'h' }, [
      ['id', 'p'],
      [annotation, ''],
    ])
    expect(problems).toEqual([{ annotation, message: `there is no annotation @${annotation}`, hint }])
  })

  it('every policy needs an @id', () => {
    expect(read({}).problems).toEqual([expect.objectContaining({ message: 'the policy has no @id' })])
  })

  it.each(['', ' ', 'a b', '-a', '.a', 'a/b', 'é', '__proto__', 'x'.repeat(129)])('@id("%s") is refused', id => {
    expect(read({ id }).problems).toEqual([expect.objectContaining({ annotation: 'id' })])
  })

  it('@doc is for people, and says something', () => {
    expect(read({ id: 'p', doc: 'Why.' }).rule.doc).toBe('Why.')
    expect(read({ id: 'p', doc: ' ' }).problems).toHaveLength(1)
  })
})

describe('meters', () => {
  const agent = { type: 'Agent', id: 'support-bot' }
  const action = { type: 'Action', id: 'refund' }
  const resource = { type: 'Order', id: 'o-1' }
  const keyOf = (id: string, limit: string, of: Partial<Parameters<typeof metersOf>[1]> = {}) =>
    metersOf(read({ id, limit }).rule, { agent, action, resource, ...of }).map(({ key }) => key)

  it('are for the agent, unless the limit says per what', () => {
    const other = { type: 'Order', id: 'o-2' }
    expect(keyOf('p', '20/h', { resource: other })).toEqual(keyOf('p', '20/h'))
    expect(keyOf('p', '20/h per resource', { resource: other })).not.toEqual(keyOf('p', '20/h per resource'))
    expect(keyOf('p', '20/h per action', { action: { type: 'Action', id: 'x' } })).not.toEqual(
      keyOf('p', '20/h per action'),
    )
    expect(new Set([...keyOf('p', '20/h'), ...keyOf('q', '20/h'), ...keyOf('p', '20/m')]).size).toBe(3)
  })

  it('keep their bucket when only the capacity changes', () => {
    expect(keyOf('p', '30/h')).toEqual(keyOf('p', '20/h'))
  })

  it('cost one, with the capacity and window of the limit', () => {
    expect(metersOf(read({ id: 'p', limit: '5/10m' }).rule, { agent, action, resource })).toEqual([
      { kind: 'limit', key: expect.any(String), capacity: 5, windowMs: 600_000, cost: 1 },
    ])
  })
})

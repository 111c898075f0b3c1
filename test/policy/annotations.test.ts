import { describe, expect, it } from 'vitest'
import { recordOf } from '../../src/cedar/value.ts'
import { valueFromJson } from '../../src/cedar/value-json.ts'
import { readAnnotations } from '../../src/policy/annotations.ts'
import { metersOf } from '../../src/policy/meters.ts'

const read = (annotations: Record<string, string>, effect: 'permit' | 'forbid' = 'permit') =>
  readAnnotations({ id: annotations.id ?? 'p', effect, textHash: 'h' }, Object.entries(annotations))

const sliding = (ms: number) => ({ kind: 'sliding', ms })
const calendar = (unit: string, zone: string) => ({ kind: 'calendar', unit, zone })

describe('annotations are read strictly', () => {
  it.each([
    ['20/h', [{ capacity: 20, windowMs: 3_600_000, per: 'agent' }]],
    ['5/10m per resource', [{ capacity: 5, windowMs: 600_000, per: 'resource' }]],
    ['1/30s per agent', [{ capacity: 1, windowMs: 30_000, per: 'agent' }]],
    ['3/2d  per  action', [{ capacity: 3, windowMs: 172_800_000, per: 'action' }]],
    ['20/h sliding', [{ capacity: 20, windowMs: 3_600_000, per: 'agent', sliding: true }]],
    ['2/m sliding per resource', [{ capacity: 2, windowMs: 60_000, per: 'resource', sliding: true }]],
    [
      '5/m, 60/h per resource',
      [
        { capacity: 5, windowMs: 60_000, per: 'agent' },
        { capacity: 60, windowMs: 3_600_000, per: 'resource' },
      ],
    ],
  ])('@limit("%s")', (limit, limits) => {
    expect(read({ id: 'p', limit })).toMatchObject({ rule: { id: 'p', limits, budgets: [] }, problems: [] })
    expect(read({ id: 'p', limit }, 'forbid').rule.limits).toEqual(limits)
  })

  it.each([
    '',
    '20',
    '0/h',
    '20/w',
    '20/h per',
    '20/h per user',
    '20/h per resource sliding',
    '20/h slide',
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

  it.each([
    ['arguments.amount <= 10000 per 1d', { argument: ['amount'], capacity: 10_000, window: sliding(86_400_000) }],
    ['arguments.order.total<=5 per 90m', { argument: ['order', 'total'], capacity: 5, window: sliding(5_400_000) }],
    ['count <= 50 per 1d per tenant', { capacity: 50, window: sliding(86_400_000), per: 'tenant' }],
    [
      'count <= 50 per 1d per group Ns::Team',
      { capacity: 50, window: sliding(86_400_000), per: { group: 'Ns::Team' } },
    ],
    ['count <= 50 per day', { capacity: 50, window: calendar('day', 'UTC') }],
    [
      'count <= 7 per month in Europe/Berlin per resource',
      { capacity: 7, window: calendar('month', 'Europe/Berlin'), per: 'resource' },
    ],
  ])('@budget("%s")', (budget, expected) => {
    const budgets = [{ per: 'agent', ...expected }]
    expect(read({ id: 'p', budget })).toMatchObject({ rule: { budgets, limits: [] }, problems: [] })
  })

  it('several budgets stand with commas between', () => {
    const { rule, problems } = read({ id: 'p', budget: 'count <= 5 per 1h, arguments.amount <= 900 per week' })
    expect(problems).toEqual([])
    expect(rule.budgets.map(({ capacity }) => capacity)).toEqual([5, 900])
  })

  it.each([
    ['', 'is not a budget'],
    ['arguments <= 5 per 1d', 'is not a budget'],
    ['resource.total <= 5 per 1d', 'is not a budget'],
    ['arguments.amount < 5 per 1d', 'is not a budget'],
    ['arguments.amount <= 0 per 1d', 'is not a budget'],
    ['arguments.amount <= 9999999999999999 per 1d', 'is beyond 2^53-1'],
    ['arguments.amount <= 5', 'is not a budget'],
    ['count <= 5 per decade', 'neither a time'],
    ['count <= 5 per 1d in Europe/Berlin', 'have a time zone'],
    ['count <= 5 per day in Europe/Berlln', 'there is no time zone Europe/Berlln'],
    ['count <= 5 per day per planet', 'a budget is per'],
    ['count <= 5 per day per group', 'a budget is per'],
    ['count <= 5 per day per Team', 'a budget is per'],
    ['count <= 5 per 1d, count <= 6 per 1d', 'says the same twice'],
    ['count <= 5 per 1d,', 'is not a budget'],
  ])('@budget("%s") is refused', (budget, message) => {
    const hint = expect.stringContaining('@budget("arguments.amount')
    expect(read({ id: 'p', budget }).problems).toEqual([
      { annotation: 'budget', message: expect.stringContaining(message), hint },
    ])
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
  const base = { agent, action, resource, tenant: 'acme', groupsOf: () => [], context: recordOf([]) }
  const keyOf = (id: string, limit: string, of: Partial<Parameters<typeof metersOf>[1]> = {}) =>
    metersOf(read({ id, limit }).rule, { ...base, ...of })?.map(({ key }) => key) ?? []

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
    expect(metersOf(read({ id: 'p', limit: '5/10m' }).rule, base)).toEqual([
      { kind: 'limit', key: expect.any(String), capacity: 5, windowMs: 600_000, cost: 1 },
    ])
  })

  const metersFor = (budget: string, amount: unknown, of: Partial<Parameters<typeof metersOf>[1]> = {}) =>
    metersOf(read({ id: 'p', budget }).rule, {
      ...base,
      context: recordOf([['arguments', recordOf([['amount', valueFromJson(amount as number)]])]]),
      ...of,
    })
  const spending = (amount: unknown) => metersFor('arguments.amount <= 90 per 1d', amount)

  it('that are shared have a coordinator, one for each that shares; an agent without has its own', () => {
    const [ada, leo] = [
      { type: 'User', id: 'ada' },
      { type: 'User', id: 'leo' },
    ]
    const one = (per: string, of: Parameters<typeof metersFor>[2]) =>
      metersFor(`count <= 9 per 1d per ${per}`, 1, of) ?? []
    const coordinators = (per: string, of: Parameters<typeof metersFor>[2]) =>
      one(per, of).map(meter => meter.kind === 'window' && meter.shared)
    const other = { agent: { type: 'Agent', id: 'other' } }
    expect(coordinators('user', { user: ada })).toEqual(coordinators('user', { user: ada, ...other }))
    expect(coordinators('user', { user: ada })).not.toEqual(coordinators('user', { user: leo }))
    expect(coordinators('user', {})).toEqual([undefined])
    expect(coordinators('tenant', {})).toEqual(coordinators('tenant', other))
    expect(coordinators('tenant', {})).not.toEqual(coordinators('tenant', { tenant: 'other' }))
    const groups = [
      { type: 'Team', id: 'a' },
      { type: 'Team', id: 'b' },
    ]
    const groupsOf = (type: string) => (type === 'Team' ? groups : [])
    expect(new Set(coordinators('group Team', { groupsOf })).size).toBe(2)
    expect(coordinators('group Other', { groupsOf })).toEqual([undefined])
  })

  it('of a budget cost what the argument says', () => {
    expect(spending(7)).toEqual([
      { kind: 'window', key: expect.any(String), capacity: 90, window: sliding(86_400_000), cost: 7, budget: true },
    ])
    expect(spending(0)?.[0]?.cost).toBe(0)
  })

  it.each([-1, 'seven', true])(
    'of a budget are an error where the argument is %j: nothing may be given back',
    amount => {
      expect(spending(amount)).toBeUndefined()
    },
  )
})

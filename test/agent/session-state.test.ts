import { array, assert, constantFrom, integer, property, record } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { beginning, joined, MOST_RESOURCES, newsBetween, type SessionState } from '../../src/agent/session-state.ts'

const names = array(constantFrom('a', 'b', 'c', 'd'))
const sets = names.map(list => [...new Set(list)].sort())
const states = record({
  startedAt: integer({ min: 0, max: 9 }),
  actions: sets,
  resources: sets,
  types: sets,
  classes: sets,
  level: integer({ min: -1, max: 3 }),
}).map((state): SessionState => ({ ...beginning(0), ...state }))

describe('what sessions know of each other', () => {
  it('is a join: order, grouping and repetition change nothing', () => {
    assert(
      property(states, states, states, (a, b, c) => {
        expect(joined(a, a)).toEqual(a)
        expect(joined(a, b)).toEqual(joined(b, a))
        expect(joined(joined(a, b), c)).toEqual(joined(a, joined(b, c)))
      }),
    )
  })

  it('is told whole by what is new, and nothing is told where nothing is new', () => {
    assert(
      property(states, states, (before, more) => {
        const after = joined(before, more)
        const news = newsBetween(before, after)
        expect({ ...joined(before, news ?? {}), startedAt: after.startedAt }).toEqual(after)
        expect(newsBetween(after, joined(after, news ?? {}))).toBeUndefined()
      }),
    )
  })

  it('keeps as many resources as it can tell apart, the same ones in whatever order they came', () => {
    const many = (from: number) => Array.from({ length: MOST_RESOURCES }, (_, at) => `r${from + at}`).sort()
    const [one, other] = [many(0), many(500)].map(resources => joined(beginning(0), { resources }))
    if (!one || !other) throw new Error('two were made')
    const both = joined(one, other)
    expect(both).toEqual(joined(other, one))
    expect(both.resources).toHaveLength(MOST_RESOURCES)
    expect(newsBetween(one, both)).toBeUndefined()
  })

  it('what was asked for first stays, and steps count where they were made', () => {
    const one = { ...beginning(5), steps: 3, request: 'close the case' }
    const state = joined(one, { ...beginning(2), steps: 9, request: 'something else' })
    expect(state).toMatchObject({ startedAt: 2, steps: 3, request: 'close the case' })
    expect(joined(beginning(5), one).request).toBe('close the case')
  })
})

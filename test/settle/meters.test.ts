import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, fullAt, type Level, levelAt, retryAfter } from '../../src/settle/meters.ts'

const bucket = { capacity: 20, windowMs: 3_600_000 }

describe('a token bucket', () => {
  it('is full at first, and gives its capacity at once', () => {
    let level: Level | undefined
    for (let taken = 0; taken < 20; taken++) {
      const now = levelAt(bucket, level, 1000)
      expect(now.tokens).toBeGreaterThanOrEqual(1)
      level = draw(now, 1)
    }
    expect(levelAt(bucket, level, 1000).tokens).toBe(0)
  })

  it('says in whole seconds, rounded up, when there is room, and then there is', () => {
    const level = { tokens: 0, part: 20, windowMs: 3_600_000, at: 0 }
    expect(retryAfter(bucket, level, 1)).toBe(180)
    expect(levelAt(bucket, level, 179_999).tokens).toBe(1)
    expect(levelAt(bucket, level, 179_998).tokens).toBe(0)
  })

  it('never has room for more than its capacity', () => {
    expect(retryAfter(bucket, levelAt(bucket, undefined, 0), 21)).toBeUndefined()
  })

  it('does not go back with the clock', () => {
    const level = draw(levelAt(bucket, undefined, 10_000), 20)
    const earlier = levelAt(bucket, level, 5_000)
    expect(earlier).toEqual(level)
    expect(levelAt(bucket, earlier, 10_000).tokens).toBe(0)
  })

  it('grants no more than the new capacity when a push changes it', () => {
    const level = levelAt(bucket, undefined, 0)
    expect(levelAt({ capacity: 5, windowMs: 3_600_000 }, level, 1).tokens).toBe(5)
    expect(levelAt({ capacity: 40, windowMs: 3_600_000 }, level, 1).tokens).toBe(20)
    expect(levelAt({ capacity: 5, windowMs: 1000 }, draw(level, 20), 3_600_000).tokens).toBe(5)
  })

  it('is exact at the widest limits over the longest windows', () => {
    const wide = { capacity: 9_999_999, windowMs: 999_999 * 86_400_000 }
    const drained = draw(levelAt(wide, undefined, 1_760_000_000_000), wide.capacity)
    expect(fullAt(wide, drained)).toBe(1_760_000_000_000 + wide.windowMs)
    expect(levelAt(wide, drained, fullAt(wide, drained) - 1).tokens).toBe(wide.capacity - 1)
    expect(levelAt(wide, drained, fullAt(wide, drained)).tokens).toBe(wide.capacity)
  })
})

it('holds exactly what fractions on paper say, whatever is drawn and when', () => {
  const step = fc.record({ wait: fc.integer({ min: -50, max: 400 }), cost: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 997 }),
      fc.array(step, { maxLength: 60 }),
      (capacity, windowMs, steps) => {
        let level: Level | undefined
        // the same bucket, as a fraction over windowMs
        let paper = capacity * windowMs
        let clock = -1000
        let now = 0
        for (const { wait, cost } of steps) {
          now += wait
          paper = Math.min(capacity * windowMs, paper + Math.max(0, now - clock) * capacity)
          clock = Math.max(clock, now)
          level = levelAt({ capacity, windowMs }, level, now)
          expect(level.tokens * windowMs + level.part).toBe(paper)
          if (level.tokens < cost) {
            const seconds = retryAfter({ capacity, windowMs }, level, cost)
            if (cost > capacity) expect(seconds).toBeUndefined()
            else {
              expect(
                levelAt({ capacity, windowMs }, level, clock + 1000 * (seconds ?? 0)).tokens,
              ).toBeGreaterThanOrEqual(cost)
              expect(levelAt({ capacity, windowMs }, level, clock + 1000 * ((seconds ?? 0) - 1)).tokens).toBeLessThan(
                cost,
              )
            }
          } else {
            level = draw(level, cost)
            paper -= cost * windowMs
          }
        }
      },
    ),
    { numRuns: 2000 },
  )
})

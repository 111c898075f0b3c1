import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { calendarUnits, periodOf } from '../../src/settle/calendar.ts'
import {
  emptyAt,
  type Spent,
  secondsUntil,
  spend,
  spentAt,
  startOf,
  total,
  unspend,
  type Window,
} from '../../src/settle/windows.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

describe('a sliding window', () => {
  const window: Window = { kind: 'sliding', ms: HOUR }
  const taken = (was: Spent | undefined, at: number, amount: number): Spent => {
    const now = spentAt(window, was, at)
    return spend(now, startOf(window, now.at), amount)
  }

  it('holds no more than was spent in it, whatever is spent and when the clock steps', () => {
    const step = fc.record({
      wait: fc.integer({ min: -600_000, max: 2 * HOUR }),
      cost: fc.integer({ min: 0, max: 50 }),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.array(step, { maxLength: 80 }), (capacity, steps) => {
        let spent: Spent | undefined
        let [now, clock] = [1_000_000, 0]
        const log: { at: number; cost: number }[] = []
        for (const { wait, cost } of steps) {
          now += wait
          clock = Math.max(clock, now)
          spent = spentAt(window, spent, now)
          expect(spent.at).toBe(clock)
          const exact = log.filter(({ at }) => at > clock - HOUR).reduce((sum, each) => sum + each.cost, 0)
          const late = log.filter(({ at }) => at > clock - HOUR - HOUR / 60).reduce((sum, each) => sum + each.cost, 0)
          // never forgets too soon, and remembers at most one slot too long
          expect(total(spent)).toBeGreaterThanOrEqual(exact)
          expect(total(spent)).toBeLessThanOrEqual(late)
          expect(spent.entries.length).toBeLessThanOrEqual(62)
          const wait2 = secondsUntil(window, spent, capacity, cost)
          if (cost > capacity) expect(wait2).toBeUndefined()
          else {
            expect(total(spentAt(window, spent, clock + 1000 * (wait2 ?? 0)))).toBeLessThanOrEqual(capacity - cost)
            if (wait2) {
              expect(total(spentAt(window, spent, clock + 1000 * (wait2 - 1)))).toBeGreaterThan(capacity - cost)
            }
          }
          if (total(spent) + cost > capacity) continue
          spent = spend(spent, startOf(window, spent.at), cost)
          log.push({ at: clock, cost })
        }
        if (spent) {
          expect(total(spentAt(window, spent, emptyAt(window, spent)))).toBe(0)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('gives back what is taken back, and no more', () => {
    const spent = taken(taken(undefined, 0, 30), 10 * 60_000, 12)
    expect(total(unspend(spent, 0, 30))).toBe(12)
    expect(total(unspend(spent, 0, 99))).toBe(12)
    expect(total(unspend(spent, 77, 30))).toBe(42)
    expect(total(unspend(spentAt(window, spent, 65 * 60_000), 0, 30))).toBe(12)
  })

  it('counts up to 2^53-1, beyond which more is the same', () => {
    const most = Number.MAX_SAFE_INTEGER
    expect(total(taken(taken(undefined, 0, most), 1, most))).toBe(most)
  })
})

describe('a calendar window', () => {
  it('ends with the day of its time zone', () => {
    const window: Window = { kind: 'calendar', unit: 'day', zone: 'Europe/Berlin' }
    const evening = Date.UTC(2026, 10, 24, 22, 59, 59)
    const spent = spend(spentAt(window, undefined, evening), startOf(window, evening), 5)
    expect(total(spentAt(window, spent, evening + 999))).toBe(5)
    expect(total(spentAt(window, spent, evening + 1_000))).toBe(0)
    expect(secondsUntil(window, spent, 5, 1)).toBe(1)
    expect(emptyAt(window, spent)).toBe(evening + 1_000)
  })

  it.each([
    // clocks go forward and back; a day without midnight; half-hours; a Monday; February; both ends of the date line
    ['day', 'Europe/Berlin', '2026-03-29T10:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['day', 'Europe/Berlin', '2026-10-25T10:00:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    ['day', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z'],
    ['day', 'Asia/Kolkata', '2026-11-25T00:00:00Z', '2026-11-24T18:30:00Z', '2026-11-25T18:30:00Z'],
    ['week', 'UTC', '2026-11-25T03:00:00Z', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
    ['week', 'UTC', '2026-11-29T23:59:59Z', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
    ['month', 'America/New_York', '2028-02-29T12:00:00Z', '2028-02-01T05:00:00Z', '2028-03-01T05:00:00Z'],
    ['year', 'Pacific/Kiritimati', '2026-12-31T12:00:00Z', '2026-12-31T10:00:00Z', '2027-12-31T10:00:00Z'],
  ] as const)('a %s in %s at %s', (unit, zone, at, start, end) => {
    const period = periodOf(unit, zone, Date.parse(at))
    expect([new Date(period.start), new Date(period.end)]).toEqual([new Date(start), new Date(end)])
  })

  it('periods lie end to end, and each holds the moments that lead to it', () => {
    const zones = [
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Asia/Kathmandu',
      'Australia/Lord_Howe',
      'Africa/Casablanca',
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...calendarUnits),
        fc.constantFrom(...zones),
        fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2031, 0, 1) }),
        (unit, zone, at) => {
          const { start, end } = periodOf(unit, zone, at)
          expect(start <= at && at < end).toBe(true)
          expect(periodOf(unit, zone, start)).toEqual({ start, end })
          expect(periodOf(unit, zone, end - 1)).toEqual({ start, end })
          expect(periodOf(unit, zone, end).start).toBe(end)
          expect(end - start).toBeGreaterThanOrEqual(DAY - 2 * HOUR)
        },
      ),
      { numRuns: 300 },
    )
  })
})

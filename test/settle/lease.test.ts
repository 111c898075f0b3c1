import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Book, LEASE_MS, lend, SKEW_MS, takeBack } from '../../src/settle/lease.ts'
import { total, type Window } from '../../src/settle/windows.ts'

/**
 * A coordinator and its holders, with all that may go wrong between them: answers that are lost, calls that are made
 * again or come late, holders that forget everything, clocks that differ by up to the skew and step. What holders spend is
 * written down with the true time, and the rule is checked against that alone.
 */
type Step = {
  kind: 'ask' | 'spend' | 'return' | 'wait' | 'crash' | 'retry'
  holder: number
  amount: number
  lost: boolean
  ms: number
}

const HOLDERS = 4
const HOUR = 3_600_000

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('ask', 'spend', 'spend', 'spend', 'spend', 'return', 'wait', 'crash', 'retry'),
    holder: fc.nat({ max: HOLDERS - 1 }),
    amount: fc.integer({ min: 0, max: 40 }),
    lost: fc.integer({ min: 0, max: 5 }).map(n => n === 0),
    ms: fc.oneof(fc.integer({ min: 0, max: 50_000 }), fc.integer({ min: 0, max: HOUR })),
  }),
  { minLength: 10, maxLength: 120 },
)

type Held = { id: string; amount: number; left: number; expires: number; returned: number }

it.each<[string, Window]>([
  ['sliding', { kind: 'sliding', ms: HOUR }],
  ['calendar', { kind: 'calendar', unit: 'day', zone: 'Europe/Berlin' }],
])('however leases go, no %s window ever holds more than the budget', (_, window) => {
  let spentMuch = 0
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.array(fc.integer({ min: -SKEW_MS / 2, max: SKEW_MS / 2 }), { minLength: HOLDERS, maxLength: HOLDERS }),
      steps,
      (capacity, skews, steps) => {
        let book: Book = { spent: undefined, leases: [] }
        const holders: Held[][] = Array.from({ length: HOLDERS }, () => [])
        let asked: { holder: number; id: string; cost: number; want: number }[] = []
        const log: { at: number; amount: number }[] = []
        let time = Date.UTC(2026, 10, 24, 22, 0)
        let made = 0
        for (const { kind, holder, amount, lost, ms } of steps) {
          const mine = holders[holder] ?? []
          const now = time + (skews[holder] ?? 0)
          if (kind === 'wait') time += ms
          const held = () => mine.filter(({ expires }) => expires > now + SKEW_MS)
          const rest = () => held().reduce((sum, { left }) => sum + left, 0)
          if (kind === 'ask' || kind === 'retry' || (kind === 'spend' && rest() < amount)) {
            const again = kind === 'retry' ? asked.findLast(each => each.holder === holder) : undefined
            const call = again ?? { holder, id: `l${made++}`, cost: amount, want: amount * 8 }
            if (!again) asked.push(call)
            const { grant, book: after } = lend(window, capacity, book, { ...call, now })
            book = after
            const known = mine.some(({ id }) => id === call.id)
            if (grant.kind === 'leased' && !lost && !known) {
              mine.push({ id: call.id, amount: grant.amount, left: grant.amount, expires: grant.expires, returned: 0 })
            }
          }
          if (kind === 'spend') {
            if (rest() < amount) continue
            let lacking = amount
            for (const lease of held()) {
              const part = Math.min(lacking, lease.left)
              lease.left -= part
              lacking -= part
            }
            log.push({ at: time, amount })
          }
          if (kind === 'return') {
            for (const lease of mine) {
              lease.returned += lease.left
              lease.left = 0
              // sent twice, or not at all
              for (let times = lost ? 0 : 2; times > 0; times--) book = takeBack(book, lease.id, lease.returned)
            }
          }
          // what a holder that forgets held is never spent, and never lent again
          if (kind === 'crash') {
            holders[holder] = []
            asked = asked.filter(each => each.holder !== holder)
          }
          const from = (at: number) =>
            window.kind === 'sliding'
              ? at - window.ms
              : Date.UTC(2026, 10, 24, 23) + 86_400_000 * Math.floor((at - Date.UTC(2026, 10, 24, 23)) / 86_400_000) - 1
          const sum = log.filter(({ at }) => at > from(time)).reduce((all, each) => all + each.amount, 0)
          expect(sum).toBeLessThanOrEqual(capacity)
          if (sum > capacity / 2) spentMuch++
        }
      },
    ),
    { numRuns: 1_500 },
  )
  // a model in which nothing is spent would prove nothing
  expect(spentMuch).toBeGreaterThan(100)
})

const hour: Window = { kind: 'sliding', ms: HOUR }
const EMPTY: Book = { spent: undefined, leases: [] }

it('at most a twentieth lies idle with holders; beyond, each is lent just what it needs', () => {
  let book = EMPTY
  let idle = 0
  for (let id = 0; id < 50; id++) {
    const lent = lend(hour, 1_000, book, { id: `${id}`, cost: 3, want: 24, now: 0 })
    if (lent.grant.kind === 'leased') idle += lent.grant.amount - 3
    book = lent.book
  }
  expect(idle).toBe(50)
})

it('what is given back is lent again, once', () => {
  const first = lend(hour, 100, EMPTY, { id: 'a', cost: 100, want: 800, now: 0 })
  expect(first.grant).toEqual({ kind: 'leased', amount: 100, expires: LEASE_MS })
  const full = lend(hour, 100, first.book, { id: 'b', cost: 1, want: 8, now: 1 })
  expect(full.grant).toMatchObject({ kind: 'none', left: 0 })
  const back = takeBack(takeBack(takeBack(full.book, 'a', 30), 'a', 30), 'a', 20)
  expect(back.spent && total(back.spent)).toBe(70)
  expect(lend(hour, 100, back, { id: 'c', cost: 31, want: 31, now: 2 }).grant.kind).toBe('none')
  expect(lend(hour, 100, back, { id: 'd', cost: 30, want: 30, now: 2 }).grant.kind).toBe('leased')
})

it('a call that is made again is lent nothing more, and after a return nothing at all', () => {
  const ask = { id: 'a', cost: 10, want: 10, now: 0 }
  const once = lend(hour, 100, EMPTY, ask)
  const twice = lend(hour, 100, once.book, ask)
  expect(twice.grant).toEqual(once.grant)
  expect(twice.book.spent && total(twice.book.spent)).toBe(10)
  expect(lend(hour, 100, takeBack(twice.book, 'a', 10), ask).grant.kind).toBe('none')
})

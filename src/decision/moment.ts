import * as v from 'valibot'

const MEANT = 'a time such as 2026-11-25T09:00:00Z'

/**
 * A time that somebody states, as text. Of what looks like one, `Date.parse` reads an offset without minutes as no time at
 * all, and 30 February as a day in March.
 */
export const Moment = v.pipe(
  v.string(),
  v.isoTimestamp(MEANT),
  v.check(text => !Number.isNaN(Date.parse(text)) && isDay(text.slice(0, 10)), MEANT),
)

const isDay = (date: string): boolean => new Date(`${date}T00:00:00Z`).toISOString().startsWith(date)

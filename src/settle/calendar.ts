/** Calendar periods in a time zone. Days have 23 to 25 hours where clocks are changed; weeks begin on Monday. */
export const calendarUnits = ['day', 'week', 'month', 'year'] as const
export type CalendarUnit = (typeof calendarUnits)[number]

/** Whether the runtime knows a time zone by this name (IANA, such as `Europe/Berlin`). */
export const isZone = (zone: string): boolean => {
  try {
    formatOf(zone)
    return true
  } catch {
    return false
  }
}

/** When the period that `at` lies in begins and ends; milliseconds. */
export const periodOf = (unit: CalendarUnit, zone: string, at: number): { start: number; end: number } => {
  const [first, next] = daysOf(unit, localDay(zone, at))
  return { start: beginningOf(zone, first), end: beginningOf(zone, next) }
}

/** The first day of the period and that of the next one, as midnights of UTC. */
const daysOf = (unit: CalendarUnit, day: number): [number, number] => {
  const date = new Date(day)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  switch (unit) {
    case 'day':
      return [day, day + DAY_MS]
    case 'week': {
      const monday = day - ((date.getUTCDay() + 6) % 7) * DAY_MS
      return [monday, monday + 7 * DAY_MS]
    }
    case 'month':
      return [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1)]
    case 'year':
      return [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)]
  }
}

const DAY_MS = 86_400_000
/** More than any zone is away from UTC. */
const FARTHEST_MS = 16 * 3_600_000

/** The first moment of a day. It is looked for, since no rule says where it lies: some days begin at one o'clock. */
const beginningOf = (zone: string, day: number): number => {
  const key = `${zone} ${day}`
  const known = beginnings.get(key)
  if (known !== undefined) return known
  let before = day - FARTHEST_MS
  let after = day + FARTHEST_MS
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (localDay(zone, middle) < day) before = middle
    else after = middle
  }
  if (beginnings.size >= MOST_BEGINNINGS) beginnings.clear()
  beginnings.set(key, after)
  return after
}

const MOST_BEGINNINGS = 1_000
const beginnings = new Map<string, number>()

/** The date that a clock in the zone shows, as that day's midnight of UTC. */
const localDay = (zone: string, at: number): number => {
  const [month = 0, day = 0, year = 0] = formatOf(zone).format(at).split('/').map(Number)
  return Date.UTC(year, month - 1, day)
}

const formats = new Map<string, Intl.DateTimeFormat>()

const formatOf = (zone: string): Intl.DateTimeFormat => {
  const known = formats.get(zone)
  if (known) return known
  const parts = { year: 'numeric', month: 'numeric', day: 'numeric' } as const
  const format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', { timeZone: zone, ...parts })
  formats.set(zone, format)
  return format
}

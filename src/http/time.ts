import * as v from 'valibot'

/** Times are milliseconds inside, and RFC 3339 in UTC in answers. */
export const Time = v.pipe(v.string(), v.isoTimestamp())

export const timeText = (ms: number): string => new Date(ms).toISOString()

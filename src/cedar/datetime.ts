import { type Fault, fault } from './fault.ts'
import { addLong, type Long, modLong, subLong, toLong } from './long.ts'

/** A moment, in milliseconds since 1970-01-01T00:00:00Z. */
export interface DateTime {
  readonly kind: 'datetime'
  readonly epoch: Long
}

/** A length of time in milliseconds; may be negative. */
export interface Duration {
  readonly kind: 'duration'
  readonly ms: Long
}

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

const DATETIME =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{3}))?(?:Z|([+-])([0-9]{2})([0-9]{2})))?$/
const DURATION = /^-?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$/

export function parseDatetime(text: string): DateTime | Fault {
  const parts = DATETIME.exec(text)
  if (parts === null) return fault('extension', `\`${text}\` is not a well-formed datetime`)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0] = parts.slice(1, 8).map(number)
  const [offsetHours = 0, offsetMinutes = 0] = parts.slice(9).map(number)
  const dateExists = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)
  if (!dateExists || hour > 23 || minute > 59 || second > 59 || offsetHours > 23 || offsetMinutes > 59) {
    return fault('extension', `no such moment: \`${text}\``)
  }
  const local = daysSinceEpoch(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND + ms
  const offset = offsetHours * HOUR + offsetMinutes * MINUTE
  return { kind: 'datetime', epoch: parts[8] === '-' ? local + offset : local - offset }
}

/** As text when the year has four digits; undefined otherwise. */
export function formatDatetime({ epoch }: DateTime): string | undefined {
  const moment = new Date(Number(epoch))
  if (Number.isNaN(moment.getTime())) return undefined
  const text = moment.toISOString()
  return /^[0-9]{4}-/.test(text) ? text : undefined
}

export function parseDuration(text: string): Duration | Fault {
  const parts = text === '' || text === '-' ? null : DURATION.exec(text)
  if (parts === null) return fault('extension', `\`${text}\` is not a well-formed duration`)
  const units = [DAY, HOUR, MINUTE, SECOND, 1]
  const total = units.reduce((sum, unit, i) => sum + BigInt(parts[i + 1] ?? 0) * BigInt(unit), 0n)
  const ms = toLong(text.startsWith('-') ? -total : total)
  if (ms === undefined) return fault('extension', `duration out of range: \`${text}\``)
  return { kind: 'duration', ms }
}

export function formatDuration({ ms }: Duration): string {
  return `${ms}ms`
}

export function offset(moment: DateTime, by: Duration): DateTime | Fault {
  return datetime(addLong(moment.epoch, by.ms))
}

export function durationSince(moment: DateTime, since: DateTime): Duration | Fault {
  const ms = subLong(moment.epoch, since.epoch)
  return ms === undefined ? fault('extension', 'duration out of range') : { kind: 'duration', ms }
}

/** Midnight (UTC) of its day. */
export function toDate(moment: DateTime): DateTime | Fault {
  return datetime(subLong(moment.epoch, modLong(moment.epoch, DAY)))
}

/** Time since midnight (UTC). */
export function toTime(moment: DateTime): Duration {
  return { kind: 'duration', ms: modLong(moment.epoch, DAY) }
}

function datetime(epoch: Long | undefined): DateTime | Fault {
  return epoch === undefined ? fault('extension', 'datetime out of range') : { kind: 'datetime', epoch }
}

function number(digits: string | undefined): number {
  return digits === undefined ? 0 : Number(digits)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** `Date.UTC` reads the years 0 to 99 as 1900 to 1999, so it is asked for the same day 400 years later. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const daysIn400Years = 146097
  return Date.UTC(year + 400, month - 1, day) / DAY - daysIn400Years
}

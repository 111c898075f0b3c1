import * as dates from './datetime.ts'
import { type Decimal, parseDecimal } from './decimal.ts'
import { fault, isFault } from './fault.ts'
import { type IpAddr, isInRange, isLoopback, isMulticast, parseIp } from './ip.ts'
import type { ExtensionName } from './json.ts'
import { divLong, type Long } from './long.ts'
import { mismatch, type Outcome } from './outcome.ts'

/** An extension function; for a method, the first argument is the receiver. */
export type ExtensionFunction =
  | { readonly arity: 1; readonly call: (arg: Outcome) => Outcome }
  | { readonly arity: 2; readonly call: (left: Outcome, right: Outcome) => Outcome }

/** Every extension function of Cedar 4. */
export const EXTENSIONS: { readonly [Name in ExtensionName]: ExtensionFunction } = {
  decimal: made(parseDecimal),
  lessThan: ofDecimals((a, b) => a < b),
  lessThanOrEqual: ofDecimals((a, b) => a <= b),
  greaterThan: ofDecimals((a, b) => a > b),
  greaterThanOrEqual: ofDecimals((a, b) => a >= b),
  ip: made(parseIp),
  isIpv4: ofIp(ip => ip.version === 4),
  isIpv6: ofIp(ip => ip.version === 6),
  isLoopback: ofIp(isLoopback),
  isMulticast: ofIp(isMulticast),
  isInRange: {
    arity: 2,
    call: (ip, range) =>
      !isIp(ip) ? mismatch('ipaddr', ip) : !isIp(range) ? mismatch('ipaddr', range) : isInRange(ip, range),
  },
  datetime: made(dates.parseDatetime),
  duration: made(dates.parseDuration),
  offset: {
    arity: 2,
    call: (moment, by) =>
      !isDatetime(moment)
        ? mismatch('datetime', moment)
        : !isDuration(by)
          ? mismatch('duration', by)
          : dates.offset(moment, by),
  },
  durationSince: {
    arity: 2,
    call: (moment, since) =>
      !isDatetime(moment)
        ? mismatch('datetime', moment)
        : !isDatetime(since)
          ? mismatch('datetime', since)
          : dates.durationSince(moment, since),
  },
  toDate: ofDatetime(dates.toDate),
  toTime: ofDatetime(dates.toTime),
  toMilliseconds: ofDuration(ms => ms),
  toSeconds: ofDuration(ms => divLong(ms, dates.SECOND)),
  toMinutes: ofDuration(ms => divLong(ms, dates.MINUTE)),
  toHours: ofDuration(ms => divLong(ms, dates.HOUR)),
  toDays: ofDuration(ms => divLong(ms, dates.DAY)),
}

export function isExtensionName(name: string): name is ExtensionName {
  return Object.hasOwn(EXTENSIONS, name)
}

/** Calls by name with any number of arguments. */
export function callExtension(name: ExtensionName, args: readonly Outcome[]): Outcome {
  const [first, second] = args
  const fn = EXTENSIONS[name]
  if (fn.arity === 1 && args.length === 1 && first !== undefined) return fn.call(first)
  if (fn.arity === 2 && args.length === 2 && first !== undefined && second !== undefined) return fn.call(first, second)
  // Cedar evaluates the arguments before it counts them.
  for (const arg of args) if (isFault(arg)) return arg
  return fault('arity', `\`${name}\` takes ${fn.arity} arguments, got ${args.length}`)
}

function made(parse: (text: string) => Outcome): ExtensionFunction {
  return { arity: 1, call: text => (typeof text === 'string' ? parse(text) : mismatch('string', text)) }
}

function ofDecimals(compare: (a: Long, b: Long) => boolean): ExtensionFunction {
  return {
    arity: 2,
    call: (a, b) =>
      !isDecimal(a) ? mismatch('decimal', a) : !isDecimal(b) ? mismatch('decimal', b) : compare(a.scaled, b.scaled),
  }
}

function ofIp(test: (ip: IpAddr) => boolean): ExtensionFunction {
  return { arity: 1, call: ip => (isIp(ip) ? test(ip) : mismatch('ipaddr', ip)) }
}

function ofDatetime(convert: (moment: dates.DateTime) => Outcome): ExtensionFunction {
  return { arity: 1, call: moment => (isDatetime(moment) ? convert(moment) : mismatch('datetime', moment)) }
}

function ofDuration(convert: (ms: Long) => Long): ExtensionFunction {
  return { arity: 1, call: length => (isDuration(length) ? convert(length.ms) : mismatch('duration', length)) }
}

function isDecimal(value: Outcome): value is Decimal {
  return typeof value === 'object' && value.kind === 'decimal'
}

function isIp(value: Outcome): value is IpAddr {
  return typeof value === 'object' && value.kind === 'ipaddr'
}

function isDatetime(value: Outcome): value is dates.DateTime {
  return typeof value === 'object' && value.kind === 'datetime'
}

function isDuration(value: Outcome): value is dates.Duration {
  return typeof value === 'object' && value.kind === 'duration'
}

import { expect, test } from 'vitest'
import { callExtension } from '../../src/cedar/extensions.ts'
import { isFault } from '../../src/cedar/fault.ts'
import type { ExtensionName } from '../../src/cedar/json.ts'
import type { Value } from '../../src/cedar/value.ts'
import { valueToJson } from '../../src/cedar/value-json.ts'

function call(name: ExtensionName, ...args: Value[]): Value | string {
  const outcome = callExtension(name, args)
  return isFault(outcome) ? outcome.code : outcome
}

function made(name: ExtensionName, text: string): Value {
  return call(name, text)
}

function shown(value: Value): unknown {
  const json = valueToJson(value)
  return typeof json === 'object' && json !== null && '__extn' in json ? json.__extn : json
}

test.each([
  ['0.0', '0.0000'],
  ['-0.5', '-0.5000'],
  ['01.25', '1.2500'],
  ['922337203685477.5807', '922337203685477.5807'],
  ['-922337203685477.5808', '-922337203685477.5808'],
])('decimal %s is %s', (text, canonical) => {
  expect(shown(made('decimal', text))).toEqual({ fn: 'decimal', arg: canonical })
})

test.each(['', '1', '1.', '.5', '+1.0', '1.23456', '1e3', ' 1.0', '922337203685477.5808', '-922337203685477.5809'])(
  'decimal refuses %j',
  text => expect(made('decimal', text)).toBe('extension'),
)

test('decimals compare by value', () => {
  const [small, large] = [made('decimal', '-922337203685477.5808'), made('decimal', '1.2')]
  expect(call('lessThan', small, large)).toBe(true)
  expect(call('lessThan', large, made('decimal', '1.2000'))).toBe(false)
  expect(call('lessThanOrEqual', large, made('decimal', '1.2000'))).toBe(true)
  expect(call('greaterThan', large, small)).toBe(true)
  expect(call('greaterThanOrEqual', small, large)).toBe(false)
  expect(call('lessThan', large, 'text')).toBe('type_mismatch')
})

test.each([
  ['127.0.0.1', '127.0.0.1/32'],
  ['255.255.255.255/0', '255.255.255.255/0'],
  ['::1', '0:0:0:0:0:0:0:1/128'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0/128'],
  ['FFee::A/64', 'ffee:0:0:0:0:0:0:a/64'],
])('ip %s is %s', (text, canonical) => {
  expect(shown(made('ip', text))).toEqual({ fn: 'ip', arg: canonical })
})

test.each([
  '',
  '1.2.3',
  '1.2.3.4.5',
  '256.0.0.1',
  '01.2.3.4',
  '1.2.3.4/33',
  '1.2.3.4/08',
  '1.2.3.4/',
  '1:2:3:4:5:6:7:8::',
  '1::2::3',
  ':1',
  '12345::',
  '::ffff:1.2.3.4',
  '::/129',
  'fe80::1%eth0',
])('ip refuses %j', text => expect(made('ip', text)).toBe('extension'))

test.each([
  ['10.1.2.3', '10.0.0.0/8', true],
  ['10.0.0.0/8', '10.0.0.0/8', true],
  ['10.0.0.0/7', '10.0.0.0/8', false],
  ['11.0.0.0', '10.0.0.0/8', false],
  ['200.1.2.3', '0.0.0.0/0', true],
  ['200.1.2.3', '::/0', false],
  ['ffff::1', 'ff00::/8', true],
  ['fe00::1', 'ff00::/8', false],
])('%s in range %s: %s', (ip, range, expected) => {
  expect(call('isInRange', made('ip', ip), made('ip', range))).toBe(expected)
})

test.each([
  ['127.8.8.8', true, false],
  ['127.0.0.0/7', false, false],
  ['::1', true, false],
  ['::1/127', false, false],
  ['224.0.0.1', false, true],
  ['239.255.255.255', false, true],
  ['224.0.0.0/3', false, false],
  ['ff00::/8', false, true],
  ['ff00::/7', false, false],
])('%s: loopback %s, multicast %s', (text, loopback, multicast) => {
  expect(call('isLoopback', made('ip', text))).toBe(loopback)
  expect(call('isMulticast', made('ip', text))).toBe(multicast)
})

test.each([
  ['1970-01-01', '1970-01-01T00:00:00.000Z'],
  ['2024-02-29T23:59:59.999Z', '2024-02-29T23:59:59.999Z'],
  ['2024-03-01T00:00:00+0130', '2024-02-29T22:30:00.000Z'],
  ['1969-12-31T23:59:59.001-0001', '1970-01-01T00:00:59.001Z'],
  ['0000-01-01', '0000-01-01T00:00:00.000Z'],
  ['0099-12-31', '0099-12-31T00:00:00.000Z'],
])('datetime %s is %s', (text, canonical) => {
  expect(shown(made('datetime', text))).toEqual({ fn: 'datetime', arg: canonical })
})

test.each([
  '',
  '2024-1-1',
  '2023-02-29',
  '1900-02-29',
  '2024-13-01',
  '2024-00-01',
  '2024-04-31',
  '2024-01-01T00:00:00',
  '2024-01-01T24:00:00Z',
  '2024-01-01T00:60:00Z',
  '2024-01-01T00:00:60Z',
  '2024-01-01T00:00:00.1Z',
  '2024-01-01T00:00:00+2400',
  '2024-01-01T00:00:00+0060',
  '2024-01-01 00:00:00Z',
  '+2024-01-01',
])('datetime refuses %j', text => expect(made('datetime', text)).toBe('extension'))

test.each([
  ['1d2h3m4s5ms', '93784005ms'],
  ['-1d', '-86400000ms'],
  ['90m', '5400000ms'],
  ['9223372036854775807ms', '9223372036854775807ms'],
  ['-9223372036854775808ms', '-9223372036854775808ms'],
])('duration %s is %s', (text, canonical) => {
  expect(shown(made('duration', text))).toEqual({ fn: 'duration', arg: canonical })
})

test.each(['', '-', '1', '1s1m', '1ms1ms', '1.5s', '--1s', '+1s', '9223372036854775808ms', '106751991168d'])(
  'duration refuses %j',
  text => expect(made('duration', text)).toBe('extension'),
)

test('dates and times take a moment apart, before the epoch too', () => {
  const moment = made('datetime', '1969-12-31T23:00:00Z')
  expect(shown(call('toDate', moment))).toEqual({ fn: 'datetime', arg: '1969-12-31T00:00:00.000Z' })
  expect(shown(call('toTime', moment))).toEqual({ fn: 'duration', arg: '82800000ms' })
  expect(shown(call('offset', moment, made('duration', '1h')))).toEqual({
    fn: 'datetime',
    arg: '1970-01-01T00:00:00.000Z',
  })
  expect(shown(call('durationSince', moment, made('datetime', '1970-01-01')))).toEqual({
    fn: 'duration',
    arg: '-3600000ms',
  })
})

test('moments overflow rather than wrap', () => {
  const latest = call('offset', made('datetime', '1970-01-01'), made('duration', '9223372036854775807ms'))
  const earliest = call('offset', made('datetime', '1970-01-01'), made('duration', '-9223372036854775808ms'))
  expect(call('offset', latest, made('duration', '1ms'))).toBe('extension')
  expect(call('durationSince', latest, earliest)).toBe('extension')
  expect(call('toDate', earliest)).toBe('extension')
  expect(shown(latest)).toEqual({
    fn: 'offset',
    args: [
      { __extn: { fn: 'datetime', arg: '1970-01-01' } },
      { __extn: { fn: 'duration', arg: '9223372036854775807ms' } },
    ],
  })
})

test('durations convert towards zero', () => {
  const length = made('duration', '-1d1h1m1s1ms')
  expect(call('toMilliseconds', length)).toBe(-90061001)
  expect(call('toSeconds', length)).toBe(-90061)
  expect(call('toMinutes', length)).toBe(-1501)
  expect(call('toHours', length)).toBe(-25)
  expect(call('toDays', length)).toBe(-1)
  expect(call('toSeconds', made('duration', '9223372036854775807ms'))).toBe(9_223_372_036_854_775n)
})

test('a wrong number of arguments is an error of its own', () => {
  expect(call('isLoopback')).toBe('arity')
  expect(call('decimal', '1.0', '2.0')).toBe('arity')
})

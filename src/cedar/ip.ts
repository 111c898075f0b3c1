import { type Fault, fault } from './fault.ts'

/** An address or a range in CIDR notation; a single address has the longest prefix. */
export type IpAddr = IpV4 | IpV6

interface IpV4 {
  readonly kind: 'ipaddr'
  readonly version: 4
  readonly address: number
  readonly prefix: number
}

interface IpV6 {
  readonly kind: 'ipaddr'
  readonly version: 6
  readonly address: bigint
  readonly prefix: number
}

const LONGEST = 'ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128'.length

export function parseIp(text: string): IpAddr | Fault {
  return (text.length <= LONGEST ? read(text) : undefined) ?? fault('extension', `invalid IP address: \`${text}\``)
}

export function formatIp(ip: IpAddr): string {
  if (ip.version === 4) return `${[24, 16, 8, 0].map(shift => (ip.address >>> shift) & 255).join('.')}/${ip.prefix}`
  const groups = ip.address.toString(16).padStart(32, '0').match(/.{4}/g) ?? []
  return `${groups.map(group => group.replace(/^0{1,3}/, '')).join(':')}/${ip.prefix}`
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(ip: IpAddr): boolean {
  return ip.version === 4 ? ip.address >>> 24 === 127 && ip.prefix >= 8 : ip.address === 1n && ip.prefix === 128
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(ip: IpAddr): boolean {
  return ip.version === 4
    ? ip.address >>> 28 === 0b1110 && ip.prefix >= 4
    : ip.address >> 120n === 0xffn && ip.prefix >= 8
}

/** Is every address of `ip` in `range`? */
export function isInRange(ip: IpAddr, range: IpAddr): boolean {
  if (ip.version === 4) {
    if (range.version !== 4 || ip.prefix < range.prefix) return false
    // A shift by 32 is a shift by 0 in JavaScript.
    return range.prefix === 0 || (ip.address ^ range.address) >>> (32 - range.prefix) === 0
  }
  if (range.version !== 6 || ip.prefix < range.prefix) return false
  return (ip.address ^ range.address) >> BigInt(128 - range.prefix) === 0n
}

function read(text: string): IpAddr | undefined {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const prefix = slash < 0 ? undefined : text.slice(slash + 1)
  const v4 = readV4(address)
  if (v4 !== undefined) {
    const length = readPrefix(prefix, 32)
    return length === undefined ? undefined : { kind: 'ipaddr', version: 4, address: v4, prefix: length }
  }
  const v6 = readV6(address)
  const length = readPrefix(prefix, 128)
  return v6 === undefined || length === undefined
    ? undefined
    : { kind: 'ipaddr', version: 6, address: v6, prefix: length }
}

function readPrefix(text: string | undefined, longest: number): number | undefined {
  if (text === undefined) return longest
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text)) return undefined
  const length = Number(text)
  return length <= longest ? length : undefined
}

function readV4(text: string): number | undefined {
  const octets = text.split('.')
  if (octets.length !== 4) return undefined
  let address = 0
  for (const octet of octets) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(octet) || Number(octet) > 255) return undefined
    address = address * 256 + Number(octet)
  }
  return address
}

/** Cedar takes no IPv4 written inside IPv6. */
function readV6(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map(half => (half === '' ? [] : half.split(':')))
  if (head === undefined) return undefined
  const given = head.length + (tail?.length ?? 0)
  // `::` stands for at least one group.
  if (tail === undefined ? given !== 8 : given > 7) return undefined
  const groups = tail === undefined ? head : [...head, ...Array<string>(8 - given).fill('0'), ...tail]
  if (!groups.every(group => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return BigInt(`0x${groups.map(group => group.padStart(4, '0')).join('')}`)
}

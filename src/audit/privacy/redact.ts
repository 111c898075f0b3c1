import type { Problem } from '../../cedar/convert.ts'
import { pointerTo } from '../../cedar/pointer.ts'
import type { Ask } from '../../decision/ask.ts'
import type { Privacy } from '../../policy/tenant.ts'

/**
 * What of a request may be stored. Credentials are no one's record: whatever has the name or the form of one is masked
 * before anything is committed to, so neither a value nor a hash of it is ever kept.
 */
export type Kept = {
  ask: Ask
  /** Whether anything was masked: then the action's hash is not kept either, which could be guessed back. */
  masked: boolean
  /** Where the tenant refuses credentials, or masking failed. */
  denied?: { reason: 'credential_refused'; problems: Problem[] } | { reason: 'redaction_failed' }
}

export const redact = (ask: Ask, privacy: Privacy | undefined): Kept => {
  const masking: Masking = { names: namesOf(privacy), problems: [], left: MOST_VALUES, path: [] }
  try {
    const kept = maskAsk(ask, masking)
    const masked = masking.problems.length > 0
    const refused = masked && privacy?.credentials?.on_sight === 'refuse'
    return {
      ask: kept,
      masked,
      ...(refused && { denied: { reason: 'credential_refused', problems: masking.problems } }),
    }
  } catch {
    // whatever went wrong: nothing of the request that could hold a credential is kept, and nothing is allowed
    return { ask: withheld(ask), masked: true, denied: { reason: 'redaction_failed' } }
  }
}

type Masking = {
  names: ReadonlySet<string>
  problems: Problem[]
  left: number
  /** Where in the request it is looked. */
  path: (string | number)[]
}

const MOST_VALUES = 50_000
const MOST_DEPTH = 64

/** Members that hold credentials, whatever their values look like. */
const NAMES = [
  'password',
  'passwd',
  'passphrase',
  'secret',
  'clientSecret',
  'apiKey',
  'accessToken',
  'refreshToken',
  'idToken',
  'authToken',
  'bearerToken',
  'authorization',
  'privateKey',
  'secretKey',
  'credential',
  'credentials',
  'sessionCookie',
  'cookie',
  'pin',
  'cvv',
  'cvc',
]

const namesOf = (privacy: Privacy | undefined): ReadonlySet<string> => {
  const own = privacy?.credentials?.names
  if (!own) return usual
  const known = extended.get(own)
  if (known) return known
  const names = new Set([...usual, ...own.map(plain)])
  extended.set(own, names)
  return names
}

const plain = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, '')

const usual: ReadonlySet<string> = new Set(NAMES.map(plain))
/** By a bundle's own list. */
const extended = new WeakMap<readonly string[], ReadonlySet<string>>()

/** Forms that credentials have, wherever they stand in a text. None of them backtracks. */
const FORMS: readonly (readonly [name: string, form: RegExp])[] = [
  ['jwt', /\beyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]{0,4096}/],
  ['private_key', /-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY-----/],
  ['aws_access_key', /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/],
  ['github_token', /\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_\w{22,255}\b/],
  ['slack_token', /\bxox[abeoprs]-[A-Za-z0-9-]{10,255}/],
  ['stripe_key', /\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}/],
  ['google_key', /\bAIza[\w-]{35}\b/],
  ['openai_key', /\bsk-(?:ant-|proj-)?[\w-]{32,255}/],
  ['bearer', /\b[Bb]earer [\w.~+/-]{16,4096}=*/],
  ['url_password', /\b[a-z][a-z0-9+.-]{1,30}:\/\/[^\s/:@]{1,255}:[^\s/@]{1,255}@/],
]

const CARD = /\b(?:\d[ -]?){12,18}\d\b/g

const maskAsk = (ask: Ask, masking: Masking): Ask => {
  const { subject, action, resource, context } = ask
  const properties = (of: { properties?: Record<string, unknown> | undefined }) => {
    const { properties } = of
    return properties && { properties: within(masking, 'properties', () => maskRecord(properties, masking, 1)) }
  }
  return {
    ...ask,
    subject: { ...subject, ...within(masking, 'subject', () => properties(subject)) },
    action: { ...action, ...within(masking, 'action', () => properties(action)) },
    resource: {
      ...resource,
      ...within(masking, 'resource', () => ({
        id: within(masking, 'id', () => maskText(resource.id, masking)),
        ...properties(resource),
      })),
    },
    ...(context && { context: within(masking, 'context', () => maskRecord(context, masking, 1)) }),
  }
}

/** What goes wrong in it leaves the path as it is: nothing more is looked at. */
const within = <T>({ path }: Masking, at: string | number, look: () => T): T => {
  path.push(at)
  const found = look()
  path.pop()
  return found
}

/** The very record where nothing in it has to be masked, which is nearly always. */
const maskRecord = (
  value: Record<string, unknown>,
  masking: Masking,
  depth: number,
): Readonly<Record<string, unknown>> => {
  const hidden: [name: string, shown: unknown][] = []
  for (const [name, member] of Object.entries(value)) {
    const named = member !== null && member !== '' && typeof member !== 'boolean' && isNamed(name, masking)
    masking.path.push(name)
    const shown = named ? masked('named', masking) : mask(member, masking, depth)
    masking.path.pop()
    if (shown !== member) hidden.push([name, shown])
  }
  return hidden.length === 0 ? value : Object.fromEntries([...Object.entries(value), ...hidden])
}

const isNamed = (name: string, { names }: Masking): boolean => names.has(PLAIN.test(name) ? name : plain(name))

/** Names that stand in no other way in the list. */
const PLAIN = /^[a-z0-9]*$/

const mask = (value: unknown, masking: Masking, depth: number): unknown => {
  if (--masking.left < 0 || depth > MOST_DEPTH) throw new RangeError('more than can be looked through')
  if (typeof value === 'string') return maskText(value, masking)
  if (Array.isArray(value)) {
    const shown = value.map((item, index) => within(masking, index, () => mask(item, masking, depth + 1)))
    return shown.every((item, index) => item === value[index]) ? value : shown
  }
  if (typeof value === 'object' && value !== null)
    return maskRecord(value as Record<string, unknown>, masking, depth + 1)
  return value
}

/** The least that any form has: `ab://c:d@`. */
const SHORTEST = 9

const maskText = (text: string, masking: Masking): string => {
  if (text.length < SHORTEST) return text
  const form = FORMS.find(([, pattern]) => pattern.test(text))?.[0] ?? (hasCard(text) ? 'card_number' : undefined)
  return form === undefined ? text : masked(form, masking)
}

const masked = (form: string, { problems, path }: Masking): string => {
  const pointer = pointerTo(path)
  problems.push({ pointer, code: 'malformed', expected: `no credential (${form})` })
  return `[masked: ${form}]`
}

/** Numbers of payment cards: by their issuers' prefixes, length and check digit (ISO/IEC 7812). */
const hasCard = (text: string): boolean =>
  (text.match(CARD) ?? []).some(found => {
    const digits = found.replaceAll(/\D/g, '')
    if (!/^(?:4|5[1-5]|2[2-7]|3[47]|6(?:011|5))/.test(digits)) return false
    const sum = [...digits].reverse().reduce((total, digit, index) => {
      const twice = Number(digit) * (index % 2 === 1 ? 2 : 1)
      return total + (twice > 9 ? twice - 9 : twice)
    }, 0)
    return sum % 10 === 0
  })

const withheld = ({ subject, action, resource }: Ask): Ask => ({
  subject: { type: subject.type, id: subject.id },
  action: { name: action.name },
  resource: { type: resource.type, id: '[withheld]' },
})

import { parseDuration } from './rate.ts'

/**
 * What the annotations of a forbid say about the humans who may lift it. Only `escalate` makes a forbid liftable; the
 * others say how, and mean nothing without it.
 */
export type EscalationTerms = {
  /** The approver group that is asked first. */
  escalate?: string
  /** How many of the group must approve. */
  approvals?: number
  /** How long the humans have. */
  expiresMs?: number
  /** How long an approval may be used. */
  validMs?: number
  remindMs?: number
  /** Groups that are asked as well when the request still waits so long after it was made. */
  chain?: { group: string; afterMs: number }[]
  reasons?: { requester: boolean; approver: boolean }
  /** A link alone doesn't let anyone vote: approvers sign in. */
  signIn?: true
  /** What an approver may grant beyond this one action. `never` also keeps it from being answered with others. */
  standing?: StandingTerms | 'never'
}

export type StandingTerms = {
  /** For the rest of the agent's session. */
  session: boolean
  /** Arguments of which a range may be stated. */
  ranges: string[]
  /** Any resource of the type, not only the one that was asked for. */
  anyResource: boolean
  /** Arguments without a range may differ too. */
  anyArguments: boolean
  max: number
  forMs: number
}

/** The terms of one liftable forbid, with all defaults. */
export type Escalation = {
  group: string
  approvals: number
  expiresMs: number
  validMs: number
  remindMs?: number
  chain: { group: string; afterMs: number }[]
  reasons: { requester: boolean; approver: boolean }
  signIn: boolean
  standing?: StandingTerms
  /** May be answered together with requests like it. */
  groupable: boolean
}

const HOUR_MS = 3_600_000
const MOST_MS = 30 * 24 * HOUR_MS

export const escalationOf = (terms: EscalationTerms): Escalation | undefined => {
  if (terms.escalate === undefined) return undefined
  const { standing } = terms
  return {
    group: terms.escalate,
    approvals: terms.approvals ?? 1,
    expiresMs: terms.expiresMs ?? 4 * HOUR_MS,
    validMs: terms.validMs ?? HOUR_MS,
    ...(terms.remindMs !== undefined && { remindMs: terms.remindMs }),
    chain: terms.chain ?? [],
    reasons: terms.reasons ?? { requester: false, approver: false },
    signIn: terms.signIn ?? false,
    ...(standing !== undefined && standing !== 'never' && { standing }),
    groupable: standing !== 'never',
  }
}

/** The groups that may be asked, in the order in which they are. */
export const groupsOf = ({ group, chain }: Pick<Escalation, 'group' | 'chain'>): string[] => [
  ...new Set([group, ...chain.map(next => next.group)]),
]

type Reader = { example: string; read: (text: string) => EscalationTerms | string }

/** By name. Each stands on a forbid. */
export const escalationAnnotations: Readonly<Record<string, Reader>> = {
  escalate: {
    example: '@escalate("finance")',
    read: text => (GROUP.test(text) ? { escalate: text } : `@escalate(${quoted(text)}) names no approver group`),
  },
  approvals: {
    example: '@approvals("2")',
    read: text =>
      /^([1-9]|1\d|20)$/.test(text) ? { approvals: Number(text) } : `@approvals(${quoted(text)}) is not 1 to 20`,
  },
  expires: { example: '@expires("4h")', read: text => wait('expires', text, ms => ({ expiresMs: ms })) },
  valid: { example: '@valid("1h")', read: text => wait('valid', text, ms => ({ validMs: ms })) },
  remind: { example: '@remind("30m")', read: text => wait('remind', text, ms => ({ remindMs: ms })) },
  chain: { example: '@chain("leads after 1h, directors after 3h")', read: readChain },
  reason_required: { example: '@reason_required("requester, approver")', read: readReasons },
  sign_in: {
    example: '@sign_in',
    read: text => (text === '' ? { signIn: true } : '@sign_in says nothing more'),
  },
  standing: {
    example: '@standing("session, arguments.amount, max 20, for 7d") or @standing("never")',
    read: readStanding,
  },
}

/** What is wrong between the annotations of one policy. */
export const termsProblem = (terms: EscalationTerms): { annotation?: string; message: string } | undefined => {
  const { escalate, expiresMs, remindMs, chain } = terms
  if (escalate === undefined) {
    const lonely = Object.entries(MEMBERS).find(([, member]) => terms[member] !== undefined)?.[0]
    return lonely === undefined
      ? undefined
      : { annotation: lonely, message: `@${lonely} means nothing without @escalate` }
  }
  const until = expiresMs ?? 4 * HOUR_MS
  if (remindMs !== undefined && remindMs >= until)
    return { annotation: 'remind', message: '@remind comes no sooner than the request expires' }
  if (chain?.some(({ afterMs }) => afterMs >= until))
    return { annotation: 'chain', message: '@chain asks a group no sooner than the request expires' }
  return undefined
}

const MEMBERS = {
  approvals: 'approvals',
  expires: 'expiresMs',
  valid: 'validMs',
  remind: 'remindMs',
  chain: 'chain',
  reason_required: 'reasons',
  sign_in: 'signIn',
  standing: 'standing',
} as const satisfies Record<string, keyof EscalationTerms>

export const GROUP = /^[A-Za-z0-9][\w.-]{0,63}$/

const quoted = (text: string): string => JSON.stringify(text)

const wait = (name: string, text: string, terms: (ms: number) => EscalationTerms): EscalationTerms | string => {
  const ms = parseDuration(text)
  if (ms === undefined) return `@${name}(${quoted(text)}) is not a time such as 30m`
  return ms > MOST_MS ? `@${name}(${quoted(text)}) is more than 30d` : terms(ms)
}

function readChain(text: string): EscalationTerms | string {
  const chain: { group: string; afterMs: number }[] = []
  for (const part of text.split(',')) {
    const [, group = '', time = ''] = /^(\S+)\s+after\s+(\S+)$/.exec(part.trim()) ?? []
    const afterMs = parseDuration(time)
    if (!GROUP.test(group) || afterMs === undefined) return `@chain(${quoted(text)}) is no list of groups and times`
    if (afterMs <= (chain.at(-1)?.afterMs ?? 0)) return `@chain(${quoted(text)}): each time must be later than the last`
    chain.push({ group, afterMs })
  }
  return { chain }
}

function readReasons(text: string): EscalationTerms | string {
  const who = text.trim() === '' ? ['requester'] : text.split(',').map(part => part.trim())
  if (who.some(one => one !== 'requester' && one !== 'approver'))
    return `@reason_required(${quoted(text)}): a reason is asked of the requester, the approver or both`
  return { reasons: { requester: who.includes('requester'), approver: who.includes('approver') } }
}

function readStanding(text: string): EscalationTerms | string {
  if (text.trim() === 'never') return { standing: 'never' }
  const terms: StandingTerms = {
    session: false,
    ranges: [],
    anyResource: false,
    anyArguments: false,
    max: 0,
    forMs: 0,
  }
  for (const part of text.split(',').map(one => one.trim())) {
    const [, range] = /^arguments\.([A-Za-z_]\w*)$/.exec(part) ?? []
    const [, max] = /^max ([1-9]\d{0,3})$/.exec(part) ?? []
    const [, time = ''] = /^for (\S+)$/.exec(part) ?? []
    const forMs = parseDuration(time)
    if (part === 'session') terms.session = true
    else if (part === 'any resource') terms.anyResource = true
    else if (part === 'any arguments') terms.anyArguments = true
    else if (range !== undefined) terms.ranges.push(range)
    else if (max !== undefined) terms.max = Number(max)
    else if (forMs !== undefined && forMs <= MOST_MS) terms.forMs = forMs
    else return `@standing(${quoted(text)}): ${quoted(part)} says nothing`
  }
  if (!terms.session && terms.ranges.length === 0)
    return `@standing(${quoted(text)}) says neither session nor which argument may have a range`
  if (terms.max === 0) return `@standing(${quoted(text)}) doesn't say how often (max 20)`
  if (terms.forMs === 0) return `@standing(${quoted(text)}) doesn't say how long (for 7d)`
  return { standing: terms }
}

import { randomBytes } from 'node:crypto'
import type { Intent } from '../decision/intent.ts'
import { contentHash } from '../durable/hash.ts'
import { type BoundFact, boundOf } from '../facts/shown.ts'
import { groupsOf } from '../policy/escalation.ts'
import type { EscalationState, OpenCall, Requirement, Vote, VoteCall, VoteRefusal, VoteReply } from './call.ts'
import { decideAs } from './outcome.ts'
import { type ScopeChoice, scopeOf } from './scope.ts'
import { factsAsked } from './sight.ts'
import { isOver, readOpen, readVotes } from './state.ts'

/**
 * Takes one approver's answer. One refusal ends the request; it is approved once each forbid that it would lift has as
 * many approvals as its policy asks for.
 */
export const vote = (storage: DurableObjectStorage, call: VoteCall): VoteReply =>
  storage.transactionSync(() => {
    const found = readOpen(storage)
    if (!found) return refused('unknown_task')
    const { open, status } = found
    const votes = readVotes(storage)
    const earlier = votes.find(({ approver }) => approver === call.approver)
    if (earlier) {
      const same = earlier.vote === call.vote
      return same ? { kind: 'taken', status, again: true } : refused('already_voted')
    }
    if (open.barred.includes(call.approver)) return refused('self_approval')
    const asked = open.requirements.filter(requirement => isAsked(requirement, call, open))
    if (asked.length === 0) return refused('not_an_approver')
    if (status !== 'pending' || call.at >= open.expiresAt) return refused('already_decided')
    if (open.requirements.some(({ signIn }) => signIn) && !call.signedIn) return refused('sign_in_required')
    if (asked.some(({ approverReason }) => approverReason) && !call.reason) return refused('reason_required')
    const facts = call.facts ?? factsAsked(open).map(boundOf)
    if (call.vote === 'approve' && !rests(votes, facts)) return refused('facts_changed')
    if (call.scope && (call.vote === 'reject' || !mayStand(call.scope, open))) return refused('standing_refused')

    const given: Vote = {
      approver: call.approver,
      vote: call.vote,
      at: call.at,
      counts: asked.map(({ policy }) => policy),
      signedIn: call.signedIn,
      ...(call.reason !== undefined && { reason: call.reason }),
      ...(call.scope && { scope: call.scope }),
      ...(call.shown !== undefined && { shown: call.shown }),
      ...(facts.length > 0 && { facts }),
    }
    keepVote(storage, given)
    if (call.vote === 'reject') decideAs(storage, { status: 'denied', at: call.at })
    else if (isApproved(open, [...votes, given]))
      decideAs(storage, { status: 'approving', at: call.at, approval: approvalOf(open, [...votes, given], call.at) })
    return { kind: 'taken', status: readOpen(storage)?.status ?? status, again: false }
  })

/** Who may answer for a forbid now: its group, and those that it was passed on to. */
const isAsked = ({ group, chain }: Requirement, { groups, at }: VoteCall, open: OpenCall): boolean => {
  const passedOn = chain.filter(({ afterMs }) => at >= open.at + afterMs)
  return groupsOf({ group, chain: passedOn }).some(name => groups.includes(name))
}

const isApproved = ({ requirements }: OpenCall, votes: Vote[]): boolean =>
  requirements.every(
    ({ policy, approvals }) =>
      votes.filter(({ vote, counts }) => vote === 'approve' && counts.includes(policy)).length >= approvals,
  )

/** Whoever approves together approves one thing: what is known has to be what the others were shown. */
const rests = (votes: Vote[], facts: BoundFact[]): boolean =>
  votes.every(({ vote, facts: theirs }) => vote === 'reject' || contentHash(theirs ?? []) === contentHash(facts))

/** Every policy that is lifted must let approvers grant that much. */
const mayStand = (choice: ScopeChoice, { requirements, session, intent }: OpenCall): boolean => {
  const { arguments: args }: Intent = JSON.parse(intent)
  if (!choice.session && !choice.range) return false
  if (choice.session && session === undefined) return false
  const { min, max, argument } = choice.range ?? {}
  if (argument !== undefined && typeof args[argument] !== 'number') return false
  if (argument !== undefined && min === undefined && max === undefined) return false
  return requirements.every(
    ({ standing }) =>
      standing !== undefined &&
      (!choice.session || standing.session) &&
      (argument === undefined || standing.ranges.includes(argument)) &&
      (!choice.anyResource || standing.anyResource) &&
      (!choice.anyArguments || standing.anyArguments) &&
      choice.uses <= standing.max &&
      choice.forMs <= standing.forMs,
  )
}

/** A standing approval is what every approver granted, word for word; otherwise it is for this one action. */
const approvalOf = (open: OpenCall, votes: Vote[], at: number): NonNullable<EscalationState['approval']> => {
  const id = randomBytes(32).toString('base64url')
  const [choice, ...others] = new Set(votes.map(({ scope }) => JSON.stringify(scope ?? null)))
  const scope: ScopeChoice | null = others.length === 0 && choice !== undefined ? JSON.parse(choice) : null
  const once = Math.min(...open.requirements.map(({ validMs }) => validMs))
  const until = Math.min(at + (scope?.forMs ?? once), open.requestedUntil ?? Number.POSITIVE_INFINITY)
  const { facts } = votes.at(-1) ?? {}
  if (!scope) return { id, at, until, uses: 1, ...(facts && { facts }) }
  const { session } = open
  const act = { intent: JSON.parse(open.intent), ...(session !== undefined && { session }) }
  return { id, at, until, uses: scope.uses, scope: scopeOf(scope, act) }
}

const keepVote = ({ sql }: DurableObjectStorage, given: Vote): void => {
  sql.exec(
    'INSERT INTO vote (approver, vote, reason, at, counts, signed_in, scope, shown, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    given.approver,
    given.vote,
    given.reason ?? null,
    given.at,
    JSON.stringify(given.counts),
    Number(given.signedIn),
    given.scope ? JSON.stringify(given.scope) : null,
    given.shown ?? null,
    given.facts ? JSON.stringify(given.facts) : null,
  )
}

const refused = (reason: VoteRefusal): VoteReply => ({ kind: 'refused', reason })

/** How many approvals there are of those that each forbid asks for. */
export const progressOf = ({ open, votes, status }: Pick<EscalationState, 'open' | 'votes' | 'status'>) => ({
  approvals: open.requirements.map(({ policy, approvals }) => ({
    policy,
    needed: approvals,
    given: votes.filter(({ vote, counts }) => vote === 'approve' && counts.includes(policy)).length,
  })),
  over: isOver(status),
})

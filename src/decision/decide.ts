import type { Decided, DecideReply } from '../agent/calls/decide.ts'
import type { AgentObject } from '../agent/object.ts'
import { openSecrets } from '../audit/privacy/seal.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { withDeadline } from '../durable/deadline.ts'
import { sha256 } from '../durable/hash.ts'
import type { Presented } from '../escalation/presented.ts'
import { requestable } from '../escalation/requestable.ts'
import { awaitOutcomes } from '../facts/outcomes.ts'
import { enter, wakeAt } from '../facts/waits.ts'
import { claimsIn } from '../facts/written.ts'
import type { Signer } from '../identity/keys.ts'
import { signPermit } from '../identity/permit.ts'
import type { Activation } from '../policy/source.ts'
import { hasAct } from './act.ts'
import { type Answer, answerOf, type Tells, unrecorded } from './answer.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { judgedOf } from './legs.ts'
import { lineageIn, type Taken, takenFrom } from './lineage.ts'
import { settleAt } from './object.ts'
import { hashesOf, intentOf, type Prepared, prepare } from './prepare.ts'
import { isRefusal, type Refusal, refusal } from './refusal.ts'
import { applied } from './rewrite.ts'
import { sealed, underPseudonym } from './sealed.ts'
import { type FactsIo, truthsOf } from './truth.ts'
import { who } from './who.ts'

export type Deps = {
  agents: DurableObjectNamespace<AgentObject>
  signer: Signer
  /** Keys of those whose data the tenant marks as personal. */
  vault: Vault
  /** The approval that an action is presented with, as far as it can be verified without state. */
  presented: (ask: Ask) => Promise<Presented | undefined>
  facts: FactsIo
  taken: Taken
  /** Moves the call to a newer activation that an object knows of, or `undefined` where the call doesn't hold there. */
  adopt: (newer: Activation) => Promise<Pick<Call, 'bundle' | 'caller'> | undefined>
}

export type Result = Answer | Refusal

/**
 * The way of a decision, once the caller is known: each action is evaluated here to a program, each agent's object
 * settles its programs in one call, and what it decided is signed and answered. Results stand in the order of the
 * actions; with `stop` the list ends with the one that ended it.
 */
export const decide = async (asks: readonly (Ask | Refusal)[], call: Call, deps: Deps): Promise<Result[]> => {
  const [presented, gathered, taken] = await Promise.all([
    Promise.all(asks.map(ask => (isRefusal(ask) ? undefined : deps.presented(ask)))),
    truthsOf(asks, call, deps.facts),
    takenOf(asks, call, deps),
  ])
  const prepared = asks.map((ask, index) =>
    isRefusal(ask)
      ? ask
      : prepare(ask, call, { presented: presented[index], gathered: gathered[index] ?? {}, taken: taken[index] }),
  )
  const named = await Promise.all(prepared.map(one => underPseudonym(one, call, deps.vault)))
  const results = await settleAll(numbered(named), call, deps, true)
  return results.map(([, result]) => result)
}

/** `index` is the place in the call, `ordinal` the place among the call's items at one object. */
type Item<T = Prepared | Refusal> = { index: number; ordinal: number; prepared: T }
type Placed = [index: number, Result]

const numbered = (all: (Prepared | Refusal)[]): Item[] => {
  const counts = new Map<string, number>()
  return all.map((prepared, index) => {
    if (isRefusal(prepared)) return { index, ordinal: 0, prepared }
    const { name } = prepared.object
    const ordinal = counts.get(name) ?? 0
    counts.set(name, ordinal + 1)
    return { index, ordinal, prepared }
  })
}

/** Settles items and returns their results by index, ascending. `mayMove`: whether a newer bundle may still be adopted. */
const settleAll = async (items: Item[], call: Call, deps: Deps, mayMove: boolean): Promise<Placed[]> => {
  const runs = runsOf(items, call.stop)
  if (call.stop === 'never') {
    const placed = await Promise.all(runs.map(run => settleRun(run, call, deps, mayMove)))
    return placed.flat().sort(([a], [b]) => a - b)
  }
  const placed: Placed[] = []
  for (const run of runs) {
    placed.push(...(await settleRun(run, call, deps, mayMove)))
    const last = placed.at(-1)
    if (last && ends(last[1], call.stop)) break
  }
  return placed
}

/** A refused item, or items that one object settles in one call. */
type Run = { refused: Item<Refusal> } | { items: [Item<Prepared>, ...Item<Prepared>[]] }

/** All items of one agent together; where the order can end the batch, only those that follow one another. */
const runsOf = (items: Item[], stop: Call['stop']): Run[] => {
  const runs: Run[] = []
  const open = new Map<string, Item<Prepared>[]>()
  for (const { prepared, ...place } of items) {
    if (isRefusal(prepared)) {
      runs.push({ refused: { ...place, prepared } })
      if (stop !== 'never') open.clear()
      continue
    }
    const run = open.get(prepared.object.name)
    if (run) {
      run.push({ ...place, prepared })
      continue
    }
    if (stop !== 'never') open.clear()
    const first: [Item<Prepared>] = [{ ...place, prepared }]
    open.set(prepared.object.name, first)
    runs.push({ items: first })
  }
  return runs
}

const ends = (result: Result, stop: Call['stop']): boolean => {
  if (isRefusal(result) && result.reason === 'idempotency_mismatch') return true
  const permitted = !isRefusal(result) && result.decision
  return stop === 'first_deny' ? !permitted : permitted
}

const settleRun = async (run: Run, call: Call, deps: Deps, mayMove: boolean): Promise<Placed[]> => {
  if ('refused' in run) return [[run.refused.index, run.refused.prepared]]
  const { items } = run
  const { name, ...object } = items[0].prepared.object
  const { bundle, edge, stop, tenant } = call
  const reply = await settleAt(deps.agents, name, {
    v: 2,
    tenant,
    ...object,
    bundle: { seq: bundle.seq, hash: bundle.hash },
    now: edge.now,
    ...(call.epoch && { epoch: call.epoch }),
    items: await Promise.all(
      items.map(async item => ({ ...(await sealed(item.prepared, call, deps.vault)), ...idempotencyOf(item, call) })),
    ),
    stop,
    ...(call.proof && { proof: call.proof }),
    ...lineageIn(call.caller),
  })
  const deny = (reason: Unrecorded, from = 0) =>
    items.slice(from).map(({ index, prepared }): Placed => [index, closed(reason, prepared, call)])
  if ('unsettled' in reply) return deny(reply.unsettled)

  await Promise.all([enterWaits(reply, items, call, deps), enterOutcomes(reply, items, call, deps)])
  const placed: Placed[] = []
  for (const [at, { index, prepared }] of items.entries()) {
    const settled = reply[at]
    if (!settled) break
    if (settled.kind === 'chain_fork') return [...placed, ...deny('chain_fork', at)]
    if (settled.kind === 'stale_bundle') {
      const moved = mayMove ? await deps.adopt(settled) : undefined
      if (!moved) return [...placed, ...deny('bundle_stale', at)]
      // Under another bundle the caller may be another agent, or the ask refused, so what is left is prepared anew.
      const next = { ...call, ...moved }
      const left = items.slice(at)
      const asks = left.map(item => item.prepared.ask)
      const [gathered, taken] = await Promise.all([truthsOf(asks, next, deps.facts), takenOf(asks, next, deps)])
      const rest = await Promise.all(
        left.map(async ({ prepared: { ask, presented }, ...place }, i) => {
          const anew = prepare(ask, next, { presented, gathered: gathered[i] ?? {}, taken: taken[i] })
          return { ...place, prepared: await underPseudonym(anew, next, deps.vault) }
        }),
      )
      return [...placed, ...(await settleAll(rest, next, deps, false))]
    }
    placed.push([index, await resultOf(settled, prepared, call, deps)])
  }
  return placed
}

/**
 * A caller's key is its own, and each item at an object has one of its own, counted there: whatever else a second body
 * holds, its first item at an object that knows the key is found to be another.
 */
const idempotencyOf = ({ index, ordinal }: Item, { caller, idempotency }: Call) =>
  idempotency && {
    idempotency: {
      key: sha256(JSON.stringify([caller.name, idempotency.key, ordinal])),
      requestHash: sha256(JSON.stringify([idempotency.bodyHash, index])),
    },
  }

/** Whether anything was taken away that the authority for each comes from, where that isn't the caller's own. */
const takenOf = (asks: readonly (Ask | Refusal)[], call: Call, deps: Deps): Promise<Call['taken'][]> =>
  Promise.all(
    asks.map(ask => {
      if (isRefusal(ask) || !hasAct(ask.subject.properties)) return undefined
      const asking = who(ask, call.caller, call.bundle)
      return isRefusal(asking) ? undefined : takenFrom(asking, call, deps)
    }),
  )

type Settled = Exclude<DecideReply[number], { kind: 'stale_bundle' | 'chain_fork' }>

const resultOf = async (settled: Settled, item: Prepared, call: Call, { signer, vault }: Deps): Promise<Result> => {
  switch (settled.kind) {
    case 'decided': {
      const permit = await permitOf(settled, item, call, signer)
      const request = await requestOf(settled, item, call, signer)
      const { set = {} } = settled.rewrite ?? {}
      const args = Object.keys(set).length > 0 ? applied(item.ask, { set }).action.properties : undefined
      return answerOf(settled, {
        explain: explains(call),
        judged: judgedOf(item.who, call.bundle),
        facts: call.bundle.facts,
        claims: settled.replayed ? await claimsAgain(settled, vault) : item.claims,
        tells: tellsOf(call),
        waitAt: waitAt(settled, item, call),
        ...(permit !== undefined && { permit }),
        ...(request && { request }),
        ...(args && { arguments: args }),
      })
    }
    case 'too_many_attempts':
      return refusal(429, 'too_many_attempts', { retryAfter: settled.retryAfter })
    case 'untold':
      return closed('control_unreachable', item, call)
    case 'idempotency_mismatch':
      return refusal(422, 'idempotency_mismatch')
    case 'replayed_proof':
      return refusal(401, 'invalid_dpop_proof')
  }
}

/** What an answer that is given again says of claims: what its receipt does, where the key that it lies under can be had. */
const claimsAgain = async ({ claims = [], sealedFacts }: Decided, vault: Vault) => {
  if (!sealedFacts) return claims
  try {
    return claimsIn(await openSecrets({ facts: sealedFacts }, vault))
  } catch (error) {
    console.warn(`an answer is given again without its claims: ${error}`)
    return []
  }
}

/** How a human can be asked, where that is what the decision wants. Signed as permits are: once, after the commit. */
const requestOf = async (decided: Decided, { item }: Prepared, call: Call, signer: Signer) =>
  item.binding && requestable(decided, item.binding, { tenant: call.identifier, signer, rules: call.bundle.rules })

/** Signed after the commit, and the same each time: only the signature is made anew for a retry. */
const permitOf = async (decided: Decided, item: Prepared, call: Call, signer: Signer): Promise<string | undefined> => {
  if (decided.expiresAt === undefined) return undefined
  // A retry's answer is that of its receipt, even where the policies have come to rewrite otherwise.
  const asIs = !decided.rewrite && !item.item.program.rewrite
  const used = decided.rewrite ? applied(item.ask, decided.rewrite) : item.ask
  const { hash: actionHash, argumentsHash } = asIs ? item.intent : hashesOf(intentOf(used, item.who, call))
  return signPermit(signer, {
    tenant: call.identifier,
    evaluationId: decided.evaluationId,
    principals: item.who.principals,
    action: item.ask.action.name,
    resource: item.ask.resource,
    argumentsHash,
    actionHash,
    bundle: decided.bundle,
    ...(decided.redeem && { redeem: true }),
    issuedAt: decided.at,
    expiresAt: decided.expiresAt,
  })
}

/**
 * Enters deferred decisions where new facts find them: after the commit, and again where a retry replays one. Facts that
 * came since they were looked for wake them at once.
 */
const enterWaits = async (reply: DecideReply, items: Item<Prepared>[], call: Call, deps: Deps): Promise<void> => {
  const object = items[0]?.prepared.object.name
  const waits = reply.flatMap((settled, at) => {
    if (settled.kind !== 'decided' || settled.waitUntil === undefined || object === undefined) return []
    const needs = items[at]?.prepared.item.wait?.needs.filter(({ name }) => settled.missing.includes(name)) ?? []
    return [{ evaluationId: settled.evaluationId, object, until: settled.waitUntil, needs }]
  })
  if (object === undefined || waits.length === 0) return
  try {
    const came = await withDeadline(enter(deps.facts.db, call.tenant, waits, call.edge.now), WAIT_DEADLINE_MS)
    if (came.length > 0) await wakeAt(deps.agents, object, came)
  } catch (error) {
    console.warn(`waits at ${object} are found by asking alone: ${error}`)
  }
}

const WAIT_DEADLINE_MS = 2_000

/** Enters what was permitted where the facts that will tell its outcome find it. */
const enterOutcomes = async (reply: DecideReply, items: Item<Prepared>[], call: Call, deps: Deps): Promise<void> => {
  const awaited = reply.flatMap((settled, at) => {
    const { telling, ask, object } = items[at]?.prepared ?? {}
    if (settled.kind !== 'decided' || settled.expiresAt === undefined || !telling || !ask || !object) return []
    const { evaluationId, receipt, at: decidedAt } = settled
    return [{ evaluationId, action: ask.action.name, object: object.name, seq: receipt.seq, ...telling, decidedAt }]
  })
  if (awaited.length === 0) return
  const { tenant, bundle, edge } = call
  const io = { db: deps.facts.db, agents: deps.agents, tenant, bundle, now: edge.now }
  try {
    await withDeadline(awaitOutcomes(awaited, io), WAIT_DEADLINE_MS)
  } catch (error) {
    console.warn(`outcomes that facts tell are found by asking alone: ${error}`)
  }
}

const waitAt = ({ evaluationId }: Decided, { who: { principals } }: Prepared, { identifier }: Call): string => {
  const { type, id } = principals.actor
  return [identifier, 'v1', 'waits', ...[type, id, evaluationId].map(encodeURIComponent)].join('/')
}

/** Agents are told what contradicts them where the declaration lets them know. */
export const tellsOf =
  ({ caller, bundle }: Pick<Call, 'caller' | 'bundle'>): Tells =>
  name =>
    caller.roles.some(role => role === 'pep' || role === 'admin' || role === 'auditor') ||
    bundle.facts.declared.get(name)?.disclose === true

const explains = ({ caller, bundle }: Call): boolean =>
  bundle.settings.explain_to_agents ||
  caller.roles.some(role => role === 'pep' || role === 'admin' || role === 'auditor')

type Unrecorded = Parameters<typeof unrecorded>[0]

const closed = (reason: Unrecorded, { item }: Prepared, { edge, bundle }: Call): Answer =>
  unrecorded(reason, {
    evaluationId: item.evaluationId,
    now: edge.now,
    bundle: bundle.hash,
    ...(reason === 'overloaded' && { retryAfter: 1 }),
  })

import type { DecideCall, Decided, Refused } from '../agent/call.ts'
import type { AgentObject } from '../agent/object.ts'
import type { Caller } from '../identity/caller.ts'
import type { Signer } from '../identity/keys.ts'
import { signPermit } from '../identity/permit.ts'
import type { LoadedBundle } from '../policy/load.ts'
import type { Activation } from '../policy/source.ts'
import { type Answer, answerOf, unrecorded } from './answer.ts'
import type { Ask } from './ask.ts'
import { settleAt } from './object.ts'
import { type Prepared, prepare } from './prepare.ts'
import { isRefusal, type Refusal, refusal } from './refusal.ts'
import type { Edge } from './what.ts'

/** One call by an authenticated caller. */
export type Call = {
  tenant: string
  /** The tenant's identifier: the issuer of its permits. */
  identifier: string
  caller: Caller
  bundle: LoadedBundle
  edge: Edge
  requestId?: string
  idempotency?: { key: string; bodyHash: string }
  stop: DecideCall['stop']
}

export type Deps = {
  agents: DurableObjectNamespace<AgentObject>
  signer: Signer
  /** Moves the call to a newer activation that an object knows of, or `undefined` where the call doesn't hold there. */
  adopt: (newer: Activation) => Promise<Pick<Call, 'bundle' | 'caller'> | undefined>
}

export type Result = Answer | Refusal

/**
 * The way of a decision, once the caller is known: each action is evaluated here to a program, each agent's object
 * settles its programs in one call, and what it decided is signed and answered. Results stand in the order of the
 * actions; with `stop` the list ends where the object stopped.
 */
export const decide = async (asks: readonly (Ask | Refusal)[], call: Call, deps: Deps): Promise<Result[]> => {
  const runs = runsOf(
    asks.map((ask, index) => (isRefusal(ask) ? ask : prepare(ask, call, index))),
    call.stop,
  )
  if (call.stop === 'never') {
    const results: Result[] = []
    const place = async (run: Run) => {
      const found = await decideRun(run, call, deps)
      for (const [at, result] of found.entries()) results[run[at]?.index ?? at] = result
    }
    await Promise.all(runs.map(place))
    return results
  }
  const results: Result[] = []
  for (const run of runs) {
    results.push(...(await decideRun(run, call, deps)))
    if (stops(results.at(-1), call.stop)) break
  }
  return results
}

/** Items that go to one object in one call, or a refused item for itself. */
type Run = { index: number; prepared: Prepared | Refusal }[]

/** All items of one agent together; where order can end the batch, only those that follow one another. */
const runsOf = (items: (Prepared | Refusal)[], stop: Call['stop']): Run[] => {
  const runs: Run[] = []
  const open = new Map<string, Run>()
  for (const [index, prepared] of items.entries()) {
    const name = isRefusal(prepared) ? undefined : prepared.object.name
    const run = name === undefined ? undefined : open.get(name)
    if (stop !== 'never' && !run) open.clear()
    if (run) run.push({ index, prepared })
    else runs.push([{ index, prepared }])
    const last = runs.at(-1)
    if (name !== undefined && !run && last) open.set(name, last)
  }
  return runs
}

const stops = (result: Result | undefined, stop: Call['stop']): boolean => {
  const permitted = result !== undefined && 'decision' in result && result.decision
  return stop === 'first_deny' ? !permitted : permitted
}

const decideRun = async (run: Run, call: Call, deps: Deps, adopted = false): Promise<Result[]> => {
  const items = run.map(({ prepared }) => prepared).filter(prepared => !isRefusal(prepared))
  const [first] = items
  if (!first) return run.map(({ prepared }) => prepared).filter(isRefusal)

  const { bundle, edge, stop, tenant } = call
  const reply = await settleAt(deps.agents, first.object.name, {
    v: 1,
    tenant,
    agent: first.object.agent,
    attempts: first.object.attempts,
    bundle: { seq: bundle.seq, hash: bundle.hash },
    now: edge.now,
    items: items.map(({ item }) => item),
    stop,
  })
  if ('unsettled' in reply) return items.map(item => closed(reply.unsettled, item, call))

  const results = await Promise.all(
    reply.map((settled, at) => {
      const item = items[at]
      if (!item) throw new Error('the object answered more than it was asked')
      return resultOf(settled, item, call, deps)
    }),
  )
  const last = reply.at(-1)
  const rest = run.slice(reply.length - 1)
  if (last?.kind === 'chain_fork') return [...results, ...items.slice(reply.length).map(i => closed('chain_fork', i, call))]
  if (last?.kind !== 'stale_bundle') return results
  return [...results.slice(0, -1), ...(await onNewer(rest, last, adopted ? undefined : deps, call))]
}

/** An object that has seen a newer bundle settles nothing under an older one: evaluate once more, under that. */
const onNewer = async (rest: Run, newer: Activation, deps: Deps | undefined, call: Call): Promise<Result[]> => {
  const moved = await deps?.adopt(newer)
  if (!deps || !moved) return rest.flatMap(({ prepared }) => (isRefusal(prepared) ? prepared : closed('bundle_stale', prepared, call)))
  const next = { ...call, ...moved }
  const again = rest.map(({ index, prepared }) => ({
    index,
    prepared: isRefusal(prepared) ? prepared : prepare(prepared.ask, next, index),
  }))
  const results: Result[] = []
  // Another bundle may map the caller to another agent, or refuse the ask, so the run may fall apart.
  for (const item of groupByObject(again)) {
    results.push(...(await decideRun(item, next, deps, true)))
    if (call.stop !== 'never' && stops(results.at(-1), call.stop)) break
  }
  return results
}

const groupByObject = (run: Run): Run[] =>
  runsOf(
    run.map(({ prepared }) => prepared),
    'first_deny',
  ).map(part => part.map(({ index, prepared }) => ({ index: run[index]?.index ?? index, prepared })))

const resultOf = async (settled: Decided | Refused, item: Prepared, call: Call, { signer }: Deps): Promise<Result> => {
  switch (settled.kind) {
    case 'decided': {
      const permit = await permitOf(settled, item, call, signer)
      return answerOf(settled, { explain: explains(call), ...(permit !== undefined && { permit }) })
    }
    case 'too_many_attempts':
      return refusal(429, 'too_many_attempts', { retryAfter: settled.retryAfter })
    case 'idempotency_mismatch':
      return refusal(422, 'idempotency_mismatch')
    case 'stale_bundle':
      return closed('bundle_stale', item, call)
    case 'chain_fork':
      return closed('chain_fork', item, call)
  }
}

/** Signed after the commit, and the same each time: only the signature is made anew for a retry. */
const permitOf = async (decided: Decided, item: Prepared, call: Call, signer: Signer): Promise<string | undefined> => {
  if (decided.expiresAt === undefined) return undefined
  return signPermit(signer, {
    tenant: call.identifier,
    evaluationId: decided.evaluationId,
    principals: item.who.principals,
    action: item.ask.action.name,
    resource: item.ask.resource,
    argumentsHash: item.intent.argumentsHash,
    actionHash: item.intent.actionHash,
    bundle: decided.bundle,
    issuedAt: decided.at,
    expiresAt: decided.expiresAt,
  })
}

const explains = ({ caller, bundle }: Call): boolean =>
  bundle.settings.explain_to_agents || caller.roles.some(role => role === 'pep' || role === 'admin' || role === 'auditor')

const closed = (reason: Parameters<typeof unrecorded>[0], { item }: Prepared, { edge, bundle }: Call): Answer =>
  unrecorded(reason, {
    evaluationId: item.evaluationId,
    now: edge.now,
    bundle: bundle.hash,
    ...(reason === 'overloaded' && { retryAfter: 1 }),
  })

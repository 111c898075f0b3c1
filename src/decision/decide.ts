import type { AgentObject } from '../agent/object.ts'
import type { Vault } from '../audit/privacy/vault.ts'
import { sha256 } from '../durable/hash.ts'
import type { Presented } from '../escalation/presented.ts'
import type { Signer } from '../identity/keys.ts'
import type { Activation } from '../policy/source.ts'
import { hasAct } from './act.ts'
import type { Ask } from './ask.ts'
import type { Call } from './call.ts'
import { enterOutcomes, enterWaits } from './entering.ts'
import { lineageIn, type Taken, takenFrom } from './lineage.ts'
import { settleAt } from './object.ts'
import { type Prepared, prepare } from './prepare.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { closed, type Result, resultOf, type Unrecorded } from './result.ts'
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

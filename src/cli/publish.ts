import * as v from 'valibot'
import { jcs } from '../durable/jcs.ts'
import { nameOf } from '../durable/names.ts'
import { type Bundle, Pointer, readBundle } from '../policy/bundle.ts'
import { type ActivationRow, activationsOf, addActivation } from './activations.ts'
import { CommandError, exit } from './exit.ts'
import type { Wrangler } from './wrangler.ts'

/** What is active for a tenant: by the history (D1) and by the pointer that Workers read (KV). */
export type Active = { latest?: ActivationRow; pointer?: Pointer }

export const activeOf = async (wrangler: Wrangler, tenant: string): Promise<Active> => {
  const [[latest], pointer] = await Promise.all([activationsOf(wrangler, tenant, 1), pointerOf(wrangler, tenant)])
  return { ...(latest && { latest }), ...(pointer && { pointer }) }
}

export const pointerOf = async (wrangler: Wrangler, tenant: string): Promise<Pointer | undefined> => {
  const text = await wrangler.kvGet(nameOf('pointer', tenant))
  const pointer = v.safeParse(v.pipe(v.string(), v.parseJson(), Pointer), text)
  return pointer.success ? pointer.output : undefined
}

/** Whether Workers are told to use this bundle, and the history says so too. */
export const isActive = ({ latest, pointer }: Active, hash: string): boolean =>
  latest !== undefined && latest.hash === hash && pointer?.seq === latest.seq && pointer.hash === hash

/** A stored bundle; undefined where its body is missing, or isn't what its hash says. */
export const storedBundle = async (wrangler: Wrangler, tenant: string, hash: string): Promise<Bundle | undefined> => {
  const body = await wrangler.kvGet(nameOf('bundle', tenant, hash))
  return body === undefined ? undefined : readBundle(body, hash)
}

export type Publication = {
  tenant: string
  hash: string
  /** Where it is stored already (a rollback), it needn't be given. */
  body?: string
  by: string
  note?: string | undefined
}

/**
 * Makes a bundle active, in the order that lets Workers only ever see what is whole: the row in D1, which one push
 * gets; the body; the body read back; the pointer.
 *
 * A push may die on the way. Before the row, nothing happened. After it, Workers go on with the old pointer, and the
 * history names an activation that none of them saw; the next push finds pointer and history apart, takes the next
 * `seq`, and so is told apart from the one that died, whatever that one had written.
 */
export const publish = async (
  wrangler: Wrangler,
  { latest, pointer }: Active,
  { tenant, hash, body, by, note }: Publication,
): Promise<ActivationRow> => {
  // The pointer is ahead of the history where a database was restored. Workers never go back, so neither does `seq`.
  const seq = Math.max(latest?.seq ?? 0, pointer?.seq ?? 0) + 1
  const row: ActivationRow = { seq, hash, pushed_at: new Date().toISOString(), pushed_by: by, note: note ?? null }
  if (!(await addActivation(wrangler, tenant, row, latest?.seq ?? 0))) {
    throw new CommandError(
      `another push came first: since this one began, someone activated a bundle of ${tenant}`,
      exit.lost,
      'nothing was written; see `countersign history`, then push again if yours is still wanted',
    )
  }
  if (body !== undefined) await wrangler.kvPut(nameOf('bundle', tenant, hash), body)
  if ((await storedBundle(wrangler, tenant, hash)) === undefined) {
    throw new CommandError(
      `the bundle ${hash} did not come back from KV as it was written`,
      exit.failed,
      `Workers keep the bundle that they have; activation ${seq} stays unused, push again`,
    )
  }
  // A push that takes long may be overtaken, and Workers that start anew would believe a pointer that went back.
  const now = await pointerOf(wrangler, tenant)
  if (now !== undefined && now.seq > seq) {
    throw new CommandError(
      `a later push was faster: activation ${now.seq} of ${tenant} is active already`,
      exit.lost,
      `activation ${seq} stays unused; push again if yours is still wanted`,
    )
  }
  const next: Pointer = { v: 1, seq, hash, pushed_at: row.pushed_at }
  await wrangler.kvPut(nameOf('pointer', tenant), jcs(next))
  return row
}

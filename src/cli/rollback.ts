import type { Bundle } from '../policy/bundle.ts'
import { activationAt } from './activations.ts'
import { command } from './command.ts'
import { CommandError, exit } from './exit.ts'
import { activeOf, isActive, publish, storedBundle } from './publish.ts'
import { paint } from './render.ts'
import { describe, describeChanges } from './summary.ts'
import { targetOptions, tenantNamed, tenantOption, wranglerFor, writerNamed, writerOptions } from './target.ts'
import type { Wrangler } from './wrangler.ts'

/** Makes an earlier bundle active again. That is a new activation: `seq` never goes back. */
export const rollback = command({
  summary: 'Make an earlier bundle active again, under a new seq',
  args: ['SEQ'],
  options: { ...targetOptions, ...tenantOption, ...writerOptions },
  examples: ['rollback 41 --remote --note "the new refund rule was wrong"'],
  run: async ([text = ''], { tenant: named, by, note, ...target }) => {
    if (!/^[1-9]\d{0,14}$/.test(text)) throw new CommandError(`${text} is not a seq; see \`countersign history\``)
    const tenant = tenantNamed(named)
    const done = await rollBack(wranglerFor(target), { tenant, to: Number(text), by: writerNamed(by), note })
    if (done === 'unchanged') {
      console.log(`${paint('green', 'unchanged')}: the bundle of activation ${text} is active already`)
    } else {
      const { seq, before, bundle } = done
      console.log(
        `${paint('green', 'rolled back')}: activation ${seq} of ${tenant} is the bundle of ${text}, ${describe(bundle)}`,
      )
      console.log(describeChanges(before, bundle))
    }
    return exit.ok
  },
})

export const rollBack = async (
  wrangler: Wrangler,
  { tenant, to, by, note = `rollback to ${to}` }: { tenant: string; to: number; by: string; note?: string | undefined },
): Promise<'unchanged' | { seq: number; before: Bundle | undefined; bundle: Bundle }> => {
  const [row, active] = await Promise.all([activationAt(wrangler, tenant, to), activeOf(wrangler, tenant)])
  if (row === undefined) {
    throw new CommandError(`${tenant} has no activation ${to}; see \`countersign history\``, exit.refused)
  }
  const { hash } = row
  if (isActive(active, hash)) return 'unchanged'
  const [bundle, before] = await Promise.all([
    storedBundle(wrangler, tenant, hash),
    active.pointer && storedBundle(wrangler, tenant, active.pointer.hash),
  ])
  if (bundle === undefined) throw new CommandError(`the bundle of activation ${to} is no longer stored`, exit.refused)
  const { seq } = await publish(wrangler, active, { tenant, hash, by, note })
  return { seq, before, bundle }
}

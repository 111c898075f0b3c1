import { activationAt } from './activations.ts'
import { command } from './command.ts'
import { CommandError, exit } from './exit.ts'
import { activeOf, isActive, publish, storedBundle } from './publish.ts'
import { paint } from './render.ts'
import { describe, describeChanges } from './summary.ts'
import { targetOptions, tenantNamed, tenantOption, wranglerFor, writerNamed, writerOptions } from './target.ts'

/** Makes an earlier bundle active again. That is a new activation: `seq` never goes back. */
export const rollback = command({
  summary: 'Make an earlier bundle active again, under a new seq',
  args: ['SEQ'],
  options: { ...targetOptions, ...tenantOption, ...writerOptions },
  examples: ['rollback 41 --remote --note "the new refund rule was wrong"'],
  run: async ([text = ''], { tenant: named, by, note, ...target }) => {
    if (!/^[1-9]\d{0,14}$/.test(text)) throw new CommandError(`${text} is not a seq; see \`countersign history\``)
    const wrangler = wranglerFor(target)
    const tenant = tenantNamed(named)
    const [row, active] = await Promise.all([activationAt(wrangler, tenant, Number(text)), activeOf(wrangler, tenant)])
    if (row === undefined)
      throw new CommandError(`${tenant} has no activation ${text}; see \`countersign history\``, exit.refused)
    const { hash } = row
    if (isActive(active, hash)) {
      console.log(`${paint('green', 'unchanged')}: the bundle of activation ${text} is active already`)
      return exit.ok
    }
    const [bundle, before] = await Promise.all([
      storedBundle(wrangler, tenant, hash),
      active.pointer && storedBundle(wrangler, tenant, active.pointer.hash),
    ])
    if (bundle === undefined)
      throw new CommandError(`the bundle of activation ${text} is no longer stored`, exit.refused)
    const { seq } = await publish(wrangler, active, {
      tenant,
      hash,
      by: writerNamed(by),
      note: note ?? `rollback to ${text}`,
    })
    console.log(
      `${paint('green', 'rolled back')}: activation ${seq} of ${tenant} is the bundle of ${text}, ${describe(bundle)}`,
    )
    console.log(describeChanges(before, bundle))
    return exit.ok
  },
})

import { activationsOf } from './activations.ts'
import { command } from './command.ts'
import { CommandError, exit } from './exit.ts'
import { pointerOf } from './publish.ts'
import { paint } from './render.ts'
import { targetOptions, tenantNamed, tenantOption, wranglerFor } from './target.ts'

/** Lists which bundles were active when, and who made them so. */
export const history = command({
  summary: 'List which bundles were made active when, by whom',
  args: [],
  options: {
    ...targetOptions,
    ...tenantOption,
    limit: { type: 'string', value: 'N', help: 'how many, the latest first (default 20)' },
    json: { type: 'boolean', help: 'write JSON, for machines' },
  },
  examples: ['history --local', 'history --remote --tenant acme --limit 100'],
  run: async (_, { tenant: named, limit = '20', json, ...target }) => {
    if (!/^[1-9]\d{0,3}$/.test(limit)) throw new CommandError(`--limit ${limit} is not a number from 1 to 9999`)
    const wrangler = wranglerFor(target)
    const tenant = tenantNamed(named)
    const [rows, pointer] = await Promise.all([
      activationsOf(wrangler, tenant, Number(limit)),
      pointerOf(wrangler, tenant),
    ])
    if (json) console.log(JSON.stringify({ tenant, active: pointer ?? null, activations: rows }, null, 2))
    else if (rows.length === 0) console.log(`nothing was pushed for ${tenant} yet`)
    else {
      for (const { seq, hash, pushed_at, pushed_by, note } of rows) {
        const mark = seq === pointer?.seq ? paint('green', '*') : ' '
        console.log(
          `${mark} ${String(seq).padStart(5)}  ${pushed_at}  ${hash}  ${pushed_by}${note === null ? '' : `: ${note}`}`,
        )
      }
      if (pointer?.seq !== rows[0]?.seq) {
        console.log(
          'the latest activation is not the one that Workers are told to use: its push was cut off; push again',
        )
      }
    }
    return exit.ok
  },
})

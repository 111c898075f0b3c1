import { writeBundle } from '../policy/bundle.ts'
import { report } from './check.ts'
import { command } from './command.ts'
import { compile } from './compile.ts'
import { withDevelopmentIssuer } from './development.ts'
import { exit } from './exit.ts'
import { activeOf, isActive, publish, storedBundle } from './publish.ts'
import { paint } from './render.ts'
import { changes, describe, describeChanges } from './summary.ts'
import { targetOptions, tenantNamed, wranglerFor, writerNamed, writerOptions } from './target.ts'

/** Checks a policy folder, and makes it the tenant's active bundle. */
export const push = command({
  summary: 'Check a policy folder and make it active',
  args: ['DIR'],
  options: {
    ...targetOptions,
    tenant: { type: 'string', value: 'NAME', help: 'the tenant, instead of the one in tenant.json' },
    ...writerOptions,
    force: { type: 'boolean', help: 'activate it again even if nothing changes' },
    json: { type: 'boolean', help: 'write JSON, for machines' },
  },
  examples: ['push policies --local', 'push policies --remote --note "refunds up to 80.00"'],
  run: async ([dir = ''], { tenant: named, by, note, force, json, ...target }) => {
    const wrangler = wranglerFor(target)
    const say = (text: string) => json || console.log(text)
    const compiled = await compile(dir, {
      tenant: named === undefined ? undefined : tenantNamed(named),
      local: wrangler.where === 'local',
    })
    if (json !== true) process.stdout.write(report(compiled.diagnostics))
    if (compiled.bundle === undefined) {
      if (json) console.log(JSON.stringify({ ok: false, diagnostics: compiled.diagnostics }, null, 2))
      else console.log('nothing was pushed')
      return exit.refused
    }
    const bundle = wrangler.where === 'local' ? await withDevelopmentIssuer(compiled.bundle) : compiled.bundle
    if (bundle !== compiled.bundle)
      say('adds the development issuer of this machine, which only a local Worker accepts')
    const { body, hash } = writeBundle(bundle)
    const { tenant } = bundle.settings
    const finish = (seq: number, since?: ReturnType<typeof changes>): number => {
      if (json)
        console.log(
          JSON.stringify({ ok: true, tenant, seq, hash, pushed: since !== undefined, changes: since }, null, 2),
        )
      return exit.ok
    }

    const active = await activeOf(wrangler, tenant)
    if (active.latest && isActive(active, hash) && !force) {
      say(
        `${paint('green', 'unchanged')}: activation ${active.latest.seq} of ${tenant} is this bundle already, ${hash}`,
      )
      return finish(active.latest.seq)
    }
    const before = active.pointer && (await storedBundle(wrangler, tenant, active.pointer.hash))
    const { seq } = await publish(wrangler, active, { tenant, hash, body, by: writerNamed(by), note })
    say(`${paint('green', 'pushed')}: activation ${seq} of ${tenant}, ${describe(bundle)}`)
    say(`bundle ${hash}, ${wrangler.where}`)
    say(describeChanges(before, bundle))
    return finish(seq, changes(before, bundle))
  },
})

import { writeBundle } from '../policy/bundle.ts'
import { command } from './command.ts'
import type { Diagnostic } from './compile/diagnostic.ts'
import { compile } from './compile.ts'
import { exit } from './exit.ts'
import { paint, plural, renderDiagnostics } from './render.ts'
import { counts, describe } from './summary.ts'

/** Says all that is wrong with a policy folder, and writes nothing. */
export const check = command({
  summary: 'Say all that is wrong with a policy folder',
  args: ['DIR'],
  options: {
    tenant: { type: 'string', value: 'NAME', help: 'the tenant, instead of the one in tenant.json' },
    strict: { type: 'boolean', help: 'take warnings for errors' },
    json: { type: 'boolean', help: 'write JSON, for machines' },
  },
  examples: ['check policies', 'check policies --strict --json'],
  run: async ([dir = ''], { tenant, strict, json }) => {
    const { bundle, diagnostics } = await compile(dir, { tenant })
    const ok = bundle !== undefined && !(strict && diagnostics.length > 0)
    if (json) {
      const summary = bundle && { tenant: bundle.settings.tenant, hash: writeBundle(bundle).hash, ...counts(bundle) }
      console.log(JSON.stringify({ ok, ...summary, diagnostics }, null, 2))
    } else {
      process.stdout.write(report(diagnostics))
      if (bundle !== undefined) {
        console.log(
          `${paint('green', 'ok')}: tenant ${bundle.settings.tenant}, ${describe(bundle)}, bundle ${writeBundle(bundle).hash}`,
        )
      }
    }
    return ok ? exit.ok : exit.refused
  },
})

/** The diagnostics and how many there are; empty where there are none. */
export const report = (diagnostics: readonly Diagnostic[]): string => {
  const errors = diagnostics.filter(({ severity }) => severity === 'error').length
  const warnings = diagnostics.length - errors
  if (diagnostics.length === 0) return ''
  const summary = [
    ...(errors > 0 ? [plural(errors, 'error')] : []),
    ...(warnings > 0 ? [plural(warnings, 'warning')] : []),
  ]
  return `${renderDiagnostics(diagnostics)}\n${summary.join(', ')}\n`
}

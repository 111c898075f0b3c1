import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** The Worker as it is uploaded. `script` is one ES module. */
export type Built = { script: string; bytes: number; gzipped: number; sourceMap: string }

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Bundles the Worker with wrangler itself, which is what goes to production. Without `minify` a profile has names. */
export const buildWorker = async (into: string, { minify }: { minify: boolean }): Promise<Built> => {
  const args = ['deploy', '--dry-run', ...(minify ? ['--minify'] : []), '--outdir', into]
  const env = {
    ...process.env,
    WRANGLER_HIDE_BANNER: 'true',
    WRANGLER_SEND_METRICS: 'false',
    CI: 'true',
    NO_COLOR: '1',
    FORCE_COLOR: '0',
  }
  const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
  const child = spawn(process.execPath, [wrangler, ...args], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the Worker doesn't build\n${output}`)
  const script = readFileSync(join(into, 'index.js'))
  return {
    script: join(into, 'index.js'),
    bytes: script.byteLength,
    gzipped: gzipSync(script).byteLength,
    sourceMap: join(into, 'index.js.map'),
  }
}

/** Bundles one of the benchmark's own workers. */
export const buildHelper = async (name: 'floors' | 'kv' | 'd1' | 'r2', into: string): Promise<string> => {
  const outfile = join(into, `${name}.js`)
  await build({
    entryPoints: [fileURLToPath(new URL(`workers/${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    logLevel: 'error',
  })
  return outfile
}

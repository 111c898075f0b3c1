import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, type Plugin } from 'esbuild'
import { buildHelper, ROOT } from '../http/build.ts'
import { cloudConfig, workerConfig } from '../http/config.ts'
import { arrived, migrate } from '../http/database.ts'
import { load } from '../http/load.ts'
import { createScene, decisionsOf, type Scene } from '../http/scene.ts'
import { median, printTable } from '../http/table.ts'
import { startWorkerd } from '../http/workerd.ts'

/**
 * What the record costs a decision: the same load on the Worker as it is, and on one that decides and keeps nothing:
 * no redaction, no commitments, no receipt, no chain, no row, nothing sent to D1 and the log. `node bench/record/cost.ts`.
 */
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '4' } },
})

/** By file: what stands in for it where nothing is recorded. */
const KEEPS_NOTHING: Record<string, string> = {
  'src/agent/chain.ts': `export const append = (storage, self, { kind, at }) =>
    ({ seq: 1, hash: '-', prev: '-', kind, at, bodyCommit: '', body: '', secrets: '' })`,
  'src/decision/record.ts': 'export const recordOf = () => ({ body: {}, secrets: {} })',
  'src/audit/privacy/redact.ts': 'export const redact = ask => ({ ask, masked: false })',
}

const standIn = (files: Record<string, string>): Plugin => ({
  name: 'stand-in',
  setup: ({ onLoad }) => {
    for (const [file, contents] of Object.entries(files)) {
      readFileSync(join(ROOT, file))
      const path = join(ROOT, file).replaceAll(/[.\\/]/g, '\\$&')
      onLoad({ filter: new RegExp(`^${path}$`) }, () => ({ contents, loader: 'ts' }))
    }
  },
})

const bundle = async (outfile: string, files: Record<string, string>): Promise<string> => {
  await build({
    entryPoints: [join(ROOT, 'src/index.ts')],
    outfile,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    alias: { 'zod/v4/core': join(ROOT, 'src/http/absent.ts') },
    external: ['cloudflare:*', 'node:*'],
    plugins: [standIn(files)],
    logLevel: 'error',
  })
  return outfile
}

const serve = async (dir: string, scene: Scene, files: Record<string, string>) => {
  mkdirSync(dir)
  const [countersign, floors, kv, d1, r2] = await Promise.all([
    bundle(join(dir, 'countersign.js'), files),
    buildHelper('floors', dir),
    buildHelper('kv', dir),
    buildHelper('d1', dir),
    buildHelper('r2', dir),
  ])
  const setting = { dir, scripts: { countersign, floors, kv, d1, r2 }, vars: scene.vars, keys: scene.keys }
  const cloud = await startWorkerd(dir, 'cloud', cloudConfig(setting))
  await migrate(cloud.ports.d1)
  const server = await startWorkerd(dir, 'worker', workerConfig(setting, cloud.ports))
  return { cloud, server }
}

const main = async (rounds: number, seconds: number): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-cost-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  const scene = await createScene()
  const recorded = await serve(join(dir, 'recorded'), scene, {})
  const unrecorded = await serve(join(dir, 'unrecorded'), scene, KEEPS_NOTHING)
  const measured = [
    { name: 'decision, on record', ...recorded, rates: [] as number[], cpu: [] as number[], all: 0 },
    { name: 'decision, unrecorded', ...unrecorded, rates: [] as number[], cpu: [] as number[], all: 0 },
  ]
  try {
    for (let round = 0; round < rounds; round++) {
      for (const each of round % 2 === 0 ? measured : measured.toReversed()) {
        const target = decisionsOf('plain', each.name, scene, each.server.ports.countersign)
        const before = each.server.cpu()
        const { requests, all } = await load(target, { connections: 32, runUp: 1, seconds })
        each.all += all
        // with what is sent to D1 and the log afterwards
        if (each.server === recorded.server) await arrived(recorded.cloud.ports.d1, each.all)
        each.cpu.push((each.server.cpu() - before) / all)
        each.rates.push(requests / seconds)
      }
    }
    const stored = await arrived(recorded.cloud.ports.d1, measured[0]?.all ?? 0)
    printTable(
      ['', 'decisions/s', 'µs CPU each'],
      measured.map(({ name, rates, cpu }) => [name, median(rates).toFixed(0), (median(cpu) * 1_000).toFixed(0)]),
    )
    const ratio = (of: 'rates' | 'cpu') =>
      median((measured[0]?.[of] ?? []).map((value, round) => value / (measured[1]?.[of][round] ?? Number.NaN)))
    console.log(
      `\nOn record: ${ratio('rates').toFixed(2)} of the rate, ${ratio('cpu').toFixed(2)} of the processor time.`,
    )
    console.log(
      `${stored.toLocaleString('en')} receipts in D1 of ${(measured[0]?.all ?? 0).toLocaleString('en')} decisions.`,
    )
  } finally {
    for (const { server, cloud } of measured) {
      await server.stop()
      await cloud.stop()
    }
  }
}

await main(Number(values.rounds), Number(values.seconds))

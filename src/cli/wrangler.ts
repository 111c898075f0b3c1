import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { CommandError, exit } from './exit.ts'
import { root } from './root.ts'

/** The tenant's D1 and KV, on this machine or on Cloudflare, as wrangler reaches them. */
export type Wrangler = {
  where: 'local' | 'remote'
  /** Rows of one statement. Values stand in the text: quote them with `sqlText`. */
  d1: (sql: string) => Promise<Record<string, unknown>[]>
  kvGet: (key: string) => Promise<string | undefined>
  kvPut: (key: string, value: string) => Promise<void>
}

export type WranglerOptions = { where: 'local' | 'remote'; persistTo?: string | undefined; config?: string | undefined }

export const createWrangler = ({ where, persistTo, config }: WranglerOptions): Wrangler => {
  const shared = [
    `--${where}`,
    ...(persistTo === undefined ? [] : ['--persist-to', persistTo]),
    ...(config === undefined ? [] : ['--config', config]),
  ]
  return {
    where,
    async d1(sql) {
      const { out } = await run(['d1', 'execute', 'DB', '--json', '--yes', '--command', sql, ...shared])
      // Remotely, progress may stand before the JSON.
      const [result] = v.parse(Results, JSON.parse(out.slice(out.indexOf('['))))
      return result?.results ?? []
    },
    async kvGet(key) {
      const { out, missing } = await run(['kv', 'key', 'get', key, '--binding', 'BUNDLES', ...shared], [NOT_FOUND])
      return missing || out === 'Value not found\n' ? undefined : out
    },
    async kvPut(key, value) {
      // Command lines are bounded, so the value goes through a file.
      const folder = mkdtempSync(join(tmpdir(), 'countersign-'))
      try {
        const path = join(folder, 'value')
        writeFileSync(path, value, { mode: 0o600 })
        await run(['kv', 'key', 'put', key, '--path', path, '--binding', 'BUNDLES', ...shared])
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  }
}

const Results = v.array(v.object({ results: v.array(v.record(v.string(), v.unknown())) }))

/** A string as SQL writes it. */
export const sqlText = (text: string): string => {
  if (text.includes('\0')) throw new CommandError('text for D1 must not hold a NUL character')
  return `'${text.replaceAll("'", "''")}'`
}

const NOT_FOUND = /\b404\b|key not found|value not found/i

const bin = (): string => {
  const require = createRequire(import.meta.url)
  return join(dirname(require.resolve('wrangler/package.json')), 'bin', 'wrangler.js')
}

/** Runs wrangler with the Node that runs this, asks it no questions, and sends nobody statistics. */
const run = (args: string[], allowed: RegExp[] = []): Promise<{ out: string; missing: boolean }> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin(), ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        WRANGLER_SEND_METRICS: 'false',
        WRANGLER_SEND_ERROR_REPORTS: 'false',
        WRANGLER_HIDE_BANNER: 'true',
        WRANGLER_WRITE_LOGS: 'false',
        NO_COLOR: '1',
        FORCE_COLOR: '0',
      },
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', chunk => out.push(chunk))
    child.stderr.on('data', chunk => err.push(chunk))
    child.on('error', reject)
    child.on('close', code => {
      const [stdout, stderr] = [Buffer.concat(out).toString(), Buffer.concat(err).toString()]
      if (code === 0) return resolve({ out: stdout, missing: false })
      if (allowed.some(pattern => pattern.test(stderr))) return resolve({ out: '', missing: true })
      reject(failure(args, stdout, stderr))
    })
  })

const failure = (args: string[], out: string, err: string): CommandError => {
  // With --json wrangler puts its error there, too.
  const inJson = /"text": ("(?:[^"\\]|\\.)*")/.exec(out)?.[1]
  const said = inJson === undefined ? err.trim() || out.trim() : String(JSON.parse(inJson))
  const hint = /no such table: activations/.test(said)
    ? 'the database has no tables yet: run `wrangler d1 migrations apply DB` with the same --local or --remote'
    : undefined
  return new CommandError(`wrangler ${args.slice(0, 3).join(' ')} failed: ${said}`, exit.failed, hint)
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A Worker on this machine: local D1, KV and Durable Objects under one folder, the development issuer trusted. */
export type LocalWorker = {
  origin: string
  stop: () => Promise<void>
  /** Ends it in the middle of whatever it does. */
  kill: () => Promise<void>
}

/** Without telemetry, colour and questions, whatever the user's own settings are. */
const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: 'true', NO_COLOR: '1', FORCE_COLOR: '0' }

const WRANGLER = 'node_modules/wrangler/bin/wrangler.js'

/** Runs one of the project's commands to its end and returns what it printed. Throws with that if it fails. */
export const run = async (...args: string[]): Promise<string> => {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = gather(child)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${args.join(' ')} failed\n${output.text}`)
  return output.text
}

export const wrangler = (...args: string[]): Promise<string> => run(WRANGLER, ...args)
export const countersign = (...args: string[]): Promise<string> => run('src/cli/main.ts', ...args)

/** Starts the Worker and waits until it answers. `says` is told what it logs. */
export const startWorker = async (
  persistTo: string,
  port?: number,
  says?: (text: string) => void,
): Promise<LocalWorker> => {
  const chosen = port ?? (await freePort())
  const origin = `http://127.0.0.1:${chosen}`
  const args = ['dev', '--port', `${chosen}`, '--ip', '127.0.0.1', '--persist-to', persistTo]
  const quiet = ['--log-level', 'warn', '--show-interactive-dev-session=false', '--inspector-port', '0']
  const child = spawn(
    process.execPath,
    [WRANGLER, ...args, ...quiet, '--var', `ORIGIN:${origin}`, '--var', 'LOCAL:true'],
    {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that workerd ends with it.
      detached: true,
    },
  )
  const output = gather(child, says)
  const stop = async () => {
    if (child.exitCode !== null || child.pid === undefined) return
    process.kill(-child.pid, 'SIGTERM')
    await Promise.race([once(child, 'close'), sleep(5_000)])
  }
  const kill = async () => {
    if (child.exitCode !== null || child.pid === undefined) return
    process.kill(-child.pid, 'SIGKILL')
    await once(child, 'close')
  }
  for (let tries = 0; tries < 240; tries++) {
    if (child.exitCode !== null) throw new Error(`the Worker did not start\n${output.text}`)
    if (await answers(`${origin}/healthz`)) return { origin, stop, kill }
    await sleep(250)
  }
  await stop()
  throw new Error(`the Worker did not answer within a minute\n${output.text}`)
}

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

const gather = (child: ChildProcess, says?: (text: string) => void): { text: string } => {
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', chunk => {
      output.text += chunk
      says?.(String(chunk))
    })
  }
  return output
}

const freePort = async (): Promise<number> => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Readable, Stream } from 'node:stream'
import { type Setting, SOCKETS, workerdConfig } from './config.ts'

export type Server = {
  /** By name of the socket. */
  ports: ReadonlyMap<string, number>
  /** Milliseconds of processor time that the process has used so far; NaN where the system doesn't tell. */
  cpu: () => number
  /** The port of the inspector, where it was asked for. */
  inspector: number | undefined
  stop: () => Promise<void>
}

/** Starts workerd and waits until every socket listens. Its objects lie in `setting.dir`. */
export const startWorkerd = async (setting: Setting, { inspect }: { inspect: boolean }): Promise<Server> => {
  const config = join(setting.dir, 'workerd.capnp')
  mkdirSync(join(setting.dir, 'objects'), { recursive: true })
  writeFileSync(config, workerdConfig(setting))
  // Durable Objects on local disk still count as experimental in workerd.
  const args = [
    'serve',
    '--experimental',
    '--control-fd=3',
    ...(inspect ? ['--inspector-addr=127.0.0.1:0'] : []),
    config,
  ]
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  process.once('exit', () => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', chunk => (output = `${output}${chunk}`.slice(-20_000)))
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await closed
    clearTimeout(timer)
  }
  try {
    const control = child.stdio[3]
    if (!(control instanceof Stream)) throw new Error('workerd has no control channel')
    const { ports, inspector } = await listening(control as Readable, inspect, once(child, 'close'))
    return { ports, inspector, cpu: () => processorTime(child.pid), stop }
  } catch (error) {
    await stop()
    throw new Error(`workerd did not start\n${output}`, { cause: error })
  }
}

/** The binary that wrangler runs. */
const binary = (): string => {
  const fromWrangler = createRequire(createRequire(import.meta.url).resolve('wrangler/package.json'))
  return createRequire(fromWrangler.resolve('workerd/package.json'))('workerd').default
}

const listening = async (
  control: Readable,
  inspect: boolean,
  closed: Promise<unknown>,
): Promise<{ ports: Map<string, number>; inspector: number | undefined }> => {
  const ports = new Map<string, number>()
  let inspector: number | undefined
  let pending = ''
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it does not listen')), 30_000)
    void closed.then(() => reject(new Error('it ended')))
    control.on('data', chunk => {
      const lines = `${pending}${chunk}`.split('\n')
      pending = lines.pop() ?? ''
      for (const line of lines) {
        const event: { event: string; socket?: string; port: number } = JSON.parse(line)
        if (event.event === 'listen' && event.socket !== undefined) ports.set(event.socket, event.port)
        if (event.event === 'listen-inspector') inspector = event.port
      }
      if (SOCKETS.every(name => ports.has(name)) && (!inspect || inspector !== undefined)) {
        clearTimeout(timer)
        resolve()
      }
    })
  })
  await ready
  return { ports, inspector }
}

/** User and system time of a process (proc(5), stat, fields 14 and 15, in ticks of 10 ms). */
export const processorTime = (pid: number | undefined): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}

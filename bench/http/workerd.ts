import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import * as v from 'valibot'
import type { Config } from './config.ts'
import { type Running, start } from './process.ts'

export type Server<Socket extends string> = Pick<Running, 'cpu' | 'stop' | 'kill'> & Listens<Socket>

type Listens<Socket extends string> = {
  ports: Record<Socket, number>
  /** The port of the inspector, where it was asked for. */
  inspector: number | undefined
}

/** Starts workerd under `name`, its config in `dir`, and waits until every socket listens. */
export const startWorkerd = async <Socket extends string>(
  dir: string,
  name: string,
  { text, sockets }: Config<Socket>,
  { inspect = false } = {},
): Promise<Server<Socket>> => {
  const path = join(dir, `${name}.capnp`)
  writeFileSync(path, text)
  const inspector = inspect ? ['--inspector-addr=127.0.0.1:0'] : []
  // Durable Objects on local disk still count as experimental in workerd.
  const args = ['serve', '--experimental', '--control-fd=3', ...inspector, path]
  const running = start(binary(), args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  try {
    const control = running.child.stdio[3]
    if (!(control instanceof Readable)) throw new Error('workerd has no control channel')
    const { cpu, stop, kill } = running
    return { ...(await listening(control, sockets, inspect, running.ended)), cpu, stop, kill }
  } catch (error) {
    await running.stop()
    throw new Error(`workerd did not start\n${running.output()}`, { cause: error })
  }
}

/** The binary that wrangler runs. */
const binary = (): string => {
  const wrangler = createRequire(createRequire(import.meta.url).resolve('wrangler/package.json'))
  return wrangler('workerd').default
}

const Listening = v.object({ event: v.string(), socket: v.optional(v.string()), port: v.number() })

/** Where workerd listens, as it tells on its control channel, a line of JSON for each socket. */
const listening = <Socket extends string>(
  control: Readable,
  sockets: readonly Socket[],
  inspect: boolean,
  ended: Promise<unknown>,
): Promise<Listens<Socket>> =>
  new Promise((resolve, reject) => {
    const ports: Partial<Record<Socket, number>> = {}
    const complete = (all: typeof ports): all is Record<Socket, number> => sockets.every(name => name in all)
    let inspector: number | undefined
    let pending = ''
    const timer = setTimeout(() => reject(new Error('it does not listen')), 30_000)
    void ended.then(() => reject(new Error('it ended')))
    control.on('data', chunk => {
      const lines = `${pending}${chunk}`.split('\n')
      pending = lines.pop() ?? ''
      for (const line of lines) {
        const { event, socket, port } = v.parse(Listening, JSON.parse(line))
        const name = sockets.find(each => each === socket)
        if (name) ports[name] = port
        if (event === 'listen-inspector') inspector = port
      }
      if (!complete(ports) || (inspect && inspector === undefined)) return
      clearTimeout(timer)
      resolve({ ports, inspector })
    })
  })

import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import * as v from 'valibot'
import { type Setting, SOCKETS, workerdConfig } from './config.ts'
import { type Running, start } from './process.ts'

export type Server = Pick<Running, 'cpu' | 'stop'> & {
  ports: Record<(typeof SOCKETS)[number], number>
  /** The port of the inspector, where it was asked for. */
  inspector: number | undefined
}

/** Starts workerd and waits until every socket listens. Its objects lie in `setting.dir`. */
export const startWorkerd = async (setting: Setting, { inspect }: { inspect: boolean }): Promise<Server> => {
  const config = join(setting.dir, 'workerd.capnp')
  mkdirSync(join(setting.dir, 'objects'), { recursive: true })
  writeFileSync(config, workerdConfig(setting))
  const inspector = inspect ? ['--inspector-addr=127.0.0.1:0'] : []
  // Durable Objects on local disk still count as experimental in workerd.
  const args = ['serve', '--experimental', '--control-fd=3', ...inspector, config]
  const running = start(binary(), args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  try {
    const control = running.child.stdio[3]
    if (!(control instanceof Readable)) throw new Error('workerd has no control channel')
    return { ...(await listening(control, inspect, running.ended)), cpu: running.cpu, stop: running.stop }
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
const listening = (
  control: Readable,
  inspect: boolean,
  ended: Promise<unknown>,
): Promise<Pick<Server, 'ports' | 'inspector'>> =>
  new Promise((resolve, reject) => {
    const ports: Partial<Server['ports']> = {}
    let inspector: number | undefined
    let pending = ''
    const timer = setTimeout(() => reject(new Error('it does not listen')), 30_000)
    void ended.then(() => reject(new Error('it ended')))
    control.on('data', chunk => {
      const lines = `${pending}${chunk}`.split('\n')
      pending = lines.pop() ?? ''
      for (const line of lines) {
        const { event, socket, port } = v.parse(Listening, JSON.parse(line))
        const name = SOCKETS.find(each => each === socket)
        if (name) ports[name] = port
        if (event === 'listen-inspector') inspector = port
      }
      const { countersign, floors, d1 } = ports
      if (countersign === undefined || floors === undefined || d1 === undefined) return
      if (inspect && inspector === undefined) return
      clearTimeout(timer)
      resolve({ ports: { countersign, floors, d1 }, inspector })
    })
  })

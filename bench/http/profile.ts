import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import * as v from 'valibot'
import { ROOT } from './build.ts'
import { printTable } from './table.ts'

/**
 * Where the Worker's JavaScript spends its time while `work` runs, by the V8 profiler through workerd's inspector. Time
 * that workerd spends outside of JavaScript (HTTP, SQLite, signatures, waiting) is `(program)` or `(idle)`.
 */
export const profileOf = async (
  inspector: number,
  service: string,
  sourceMap: string,
  work: () => Promise<void>,
): Promise<void> => {
  const session = await connect(`ws://127.0.0.1:${inspector}/${service}`)
  try {
    await session.send('Profiler.enable')
    await session.send('Profiler.setSamplingInterval', { interval: 200 })
    await session.send('Profiler.start')
    await work()
    const { profile } = v.parse(Stopped, await session.send('Profiler.stop'))
    report(profile, sourceMap)
  } finally {
    session.close()
  }
}

const Frame = v.object({ functionName: v.string(), url: v.string(), lineNumber: v.number(), columnNumber: v.number() })
const Node = v.object({
  id: v.number(),
  callFrame: Frame,
  children: v.optional(v.array(v.number()), []),
})
const Stopped = v.object({
  profile: v.object({
    nodes: v.array(Node),
    samples: v.array(v.number()),
    timeDeltas: v.array(v.number()),
  }),
})
type Profile = v.InferOutput<typeof Stopped>['profile']

const SHOWN = 40

const report = ({ nodes, samples, timeDeltas }: Profile, mapFile: string): void => {
  const map = new SourceMap(JSON.parse(readFileSync(mapFile, 'utf8')))
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame, mapFile, map)]))
  const parents = new Map(nodes.flatMap(({ id, children }) => children.map(child => [child, id] as const)))
  const own = new Map<string, number>()
  const withCallees = new Map<string, number>()
  const add = (to: Map<string, number>, name: string, time: number) => to.set(name, (to.get(name) ?? 0) + time)
  let total = 0
  let idle = 0
  for (const [index, sample] of samples.entries()) {
    const time = timeDeltas[index] ?? 0
    const name = names.get(sample) ?? ''
    if (name === '(idle)') {
      idle += time
      continue
    }
    total += time
    add(own, name, time)
    const stack = new Set<string>()
    for (let node: number | undefined = sample; node !== undefined; node = parents.get(node)) {
      stack.add(names.get(node) ?? '')
    }
    for (const caller of stack) add(withCallees, caller, time)
  }
  const rows = (times: Map<string, number>) =>
    [...times]
      .filter(([name]) => name !== '(root)')
      .sort(([, a], [, b]) => b - a)
      .slice(0, SHOWN)
      .map(([name, time]) => [name, `${((100 * time) / total).toFixed(1)} %`])
  console.log(`${((100 * idle) / (idle + total)).toFixed(0)} % idle; of the rest:\n`)
  printTable(['function, its own time', ''], rows(own))
  console.log()
  printTable(['function, with what it calls', ''], rows(withCallees))
}

const nameOf = (
  { functionName, url, lineNumber, columnNumber }: v.InferOutput<typeof Frame>,
  mapFile: string,
  map: SourceMap,
): string => {
  if (functionName.startsWith('(')) return functionName
  const name = functionName || '(anonymous)'
  if (!url.endsWith('index.js')) return `${name} ${url}`
  const entry = map.findEntry(lineNumber, columnNumber)
  if (!('originalSource' in entry)) return name
  const file = resolve(dirname(mapFile), entry.originalSource)
  const place = `${relative(ROOT, file).replace(/^.*node_modules\//, '')}:${entry.originalLine + 1}`
  return `${functionName || declaredAt(file, entry.originalLine)} ${place}`
}

/** Bundling takes the names of functions that are values away. */
const declaredAt = (file: string, line: number): string => {
  const text = existsSync(file) ? readFileSync(file, 'utf8').split('\n')[line] : undefined
  return /\b(?:const|function|async) (\w+)/.exec(text ?? '')?.[1] ?? `\`${text?.trim().slice(0, 40)}\``
}

type Session = { send: (method: string, params?: object) => Promise<unknown>; close: () => void }

const connect = async (url: string): Promise<Session> => {
  const socket = new WebSocket(url)
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>()
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error(`no inspector at ${url}`)))
  })
  socket.addEventListener('message', ({ data }) => {
    const message = v.parse(Message, JSON.parse(String(data)))
    const call = message.id === undefined ? undefined : waiting.get(message.id)
    if (message.error) call?.reject(new Error(message.error.message))
    else call?.resolve(message.result)
  })
  let last = 0
  const send = (method: string, params: object = {}) =>
    new Promise<unknown>((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      socket.send(JSON.stringify({ id, method, params }))
    })
  return { send, close: () => socket.close() }
}

const Message = v.object({
  id: v.optional(v.number()),
  result: v.optional(v.unknown()),
  error: v.optional(v.object({ message: v.string() })),
})

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** A server that this benchmark starts, and that ends with it. */
export type Running = {
  child: ChildProcess
  /** The last that it printed. */
  output: () => string
  /** Settles when it has ended. */
  ended: Promise<unknown>
  /** Milliseconds of processor time that it has used so far; NaN where the system doesn't tell. */
  cpu: () => number
  stop: () => Promise<void>
  /** Ends it as a power cut would. */
  kill: () => Promise<void>
}

export const start = (binary: string, args: readonly string[], options: SpawnOptions): Running => {
  const child = spawn(binary, args, options)
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', chunk => {
      output = `${output}${chunk}`.slice(-20_000)
    })
  }
  const ended = once(child, 'close')
  const stop = async () => {
    const timer = setTimeout(kill, 5_000)
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
    clearTimeout(timer)
    process.off('exit', kill)
  }
  const killed = async () => {
    kill()
    await ended
    process.off('exit', kill)
  }
  return { child, output: () => output, ended, cpu: () => processorTime(child.pid), stop, kill: killed }
}

/** User and system time of a process (proc(5), stat, fields 14 and 15, in ticks of 10 ms). */
const processorTime = (pid: number | undefined): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}

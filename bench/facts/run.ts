import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildHelper, buildWorker } from '../http/build.ts'
import { cloudConfig, workerConfig } from '../http/config.ts'
import { arrived, migrate } from '../http/database.ts'
import { load, type Round, type Target } from '../http/load.ts'
import { median, printTable, quantile, sum } from '../http/table.ts'
import { startWorkerd } from '../http/workerd.ts'
import { createFacts } from './scene.ts'

/**
 * What holding ten claims against a ledger of 100,000 facts adds to a decision, in one run: `node bench/facts/run.ts`,
 * with `--help` for options. Each decision is made over HTTP, with its receipt and permit, as in bench/http.
 */

const HELP = `--facts N        in the ledger (100,000)
--rounds N       how often the first two targets are measured, in turn; the third one round in four (40)
--seconds N      how long at a time (1)
--connections N  kept busy at once (32)

"warm": the isolate has copies of the facts. "cold": the facts may not be copied, so each decision reads the ledger.
Ratios are medians of the rounds' ratios.`

const { values } = parseArgs({
  options: {
    facts: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '40' },
    seconds: { type: 'string', default: '1' },
    connections: { type: 'string', default: '32' },
    help: { type: 'boolean', default: false },
  },
})

/** Ten claims, warm, are to add at most this much to a decision's time. */
const AIM = 0.1
/** Of the targets, what is held against each other; the others are there to see, one round in so many. */
const COMPARED = 2
const SELDOM = 4
/** Rounds are short and many, so that what else the machine does meets all targets alike. */
const RUN_UP = 0.5

if (values.help) console.log(HELP)
else await main()

async function main(): Promise<void> {
  const [facts, rounds, seconds, connections] = [values.facts, values.rounds, values.seconds, values.connections].map(
    Number,
  ) as [number, number, number, number]
  const dir = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const scene = await createFacts(facts)
  const built = await buildWorker(join(dir, 'dist'), { minify: true })
  const [floors, kv, d1, r2] = await Promise.all([
    buildHelper('floors', dir),
    buildHelper('kv', dir),
    buildHelper('d1', dir),
    buildHelper('r2', dir),
  ])
  const setting = {
    dir,
    scripts: { countersign: built.script, floors, kv, d1, r2 },
    vars: scene.vars,
    keys: scene.keys,
  }
  const cloud = await startWorkerd(dir, 'cloud', cloudConfig(setting))
  try {
    await migrate(cloud.ports.d1)
    const server = await startWorkerd(dir, 'worker', workerConfig(setting, cloud.ports))
    try {
      const began = performance.now()
      await scene.push(server.ports.countersign)
      const took = (performance.now() - began) / 1_000
      console.log(
        `${facts.toLocaleString('en')} facts pushed in ${took.toFixed(1)} s; ${connections} connections, ` +
          `${rounds} rounds of ${seconds} s, ${cpus().length} cores that the load shares.`,
      )
      await measure(scene.targets(server.ports.countersign), server.cpu, cloud.ports.d1)
    } finally {
      await server.stop()
    }
  } finally {
    await cloud.stop()
  }

  async function measure(targets: readonly Target[], used: () => number, database: number): Promise<void> {
    const all = targets.map((target, index) => ({
      target,
      every: index < COMPARED ? 1 : SELDOM,
      results: [] as Result[],
    }))
    const decided = () => sum(all.flatMap(({ results }) => results.map(({ all }) => all)))
    for (let round = 0; round < rounds; round++) {
      const due = all.filter(({ every }) => round % every === 0)
      // each comes first as often as last
      for (const { target, results } of round % 2 === 0 ? due : due.toReversed()) {
        const before = used()
        const result = await load(target, { connections, runUp: RUN_UP, seconds })
        results.push({ ...result, round, cpu: (used() - before) / result.all })
        await arrived(database, decided())
      }
    }
    const base = new Map(all[0]?.results.map(result => [result.round, result]))
    const times = (index: number, ratio: (base: Result, other: Result) => number) =>
      median((all[index]?.results ?? []).map(other => ratio(base.get(other.round) ?? other, other)))
    const time = (index: number) => times(index, (of, other) => rate(of) / rate(other))
    printTable(
      ['', 'req/s', 'p50 ms', 'p99 ms', 'µs CPU', 'time × first', 'CPU × first'],
      all.map(({ target, results }, index) => {
        const latencies = results.flatMap(one => one.latencies).sort((a, b) => a - b)
        return [
          target.name,
          median(results.map(rate)).toFixed(0),
          quantile(latencies, 0.5).toFixed(2),
          quantile(latencies, 0.99).toFixed(2),
          (median(results.map(({ cpu }) => cpu)) * 1_000).toFixed(0),
          time(index).toFixed(3),
          times(index, (of, other) => other.cpu / of.cpu).toFixed(3),
        ]
      }),
    )
    const added = time(1) - 1
    console.log(
      `\n10 claims, warm, add ${(added * 100).toFixed(1)}% to a decision (aim: under ${AIM * 100}%, ${added < AIM ? 'met' : 'not met'})`,
    )
  }
}

/** `cpu`: milliseconds of its server's, for each request. */
type Result = Round & { round: number; cpu: number }

function rate({ requests, seconds }: Result): number {
  return requests / seconds
}

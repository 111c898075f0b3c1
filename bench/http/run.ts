import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildHelper, buildWorker } from './build.ts'
import { type Cerbos, startCerbos } from './cerbos.ts'
import { cloudConfig, workerConfig } from './config.ts'
import { arrived, migrate } from './database.ts'
import { load, post, type Target } from './load.ts'
import { type AtLoad, type Measured, measure, measuring, print, printByLoad, receiptsOf } from './measure.ts'
import { profileOf } from './profile.ts'
import { batchesOf, createScene, decisionsOf, type Scene, type TenantName } from './scene.ts'
import { sum } from './table.ts'
import { type Server, startWorkerd } from './workerd.ts'

/**
 * Decisions per second over HTTP, each with its receipt and permit, beside what the platform itself costs:
 * `node bench/http/run.ts`, with `--help` for options. Ends by itself, after some eight minutes.
 */

const HELP = `--rounds N       how often each target is measured, in turn (5)
--seconds N      how long at a time (3)
--connections N  kept busy at once in the first table (64)
--peers          also the Cerbos server, under the same rules
--profile        instead: where a decision's processor time goes

Every object's commit waits for the disk that TMPDIR lies on, one after the other: workerd is one thread. On a slow or
busy disk that is most of what is measured; in memory (TMPDIR=/dev/shm) it is processor time alone. "µs CPU" is the
processor time of the server's process for each request, with all that it does besides; it suffers least from others.
Where a call asks for several decisions, what is counted is decisions; p50 and p99 are the call's. Sixteen agents ask, by
64 connections four calls at a time each. Calls of one agent that come at the same time are settled with one commit, so the
more of them the less each waits for the disk; each of the floors' calls has a commit of its own. So what decisions cost
beside a floor hangs on the load: the second table has both at several, one right after the other, and what is held
against the aim is the load at which most decisions are made.
"least of a decision" is what it can't do without and nothing of what makes it one: the body parsed, as many bytes in as
many rows, a signature and an answer as long; no token, no policy, no hash, no copies.
D1 and R2 are other machines in production; here they are stand-ins in a process of their own, on the same cores.
Ratios are medians of the rounds' ratios.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    peers: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** Not counted: after it, the flush of receipts goes on as it does in a long run. */
const RUN_UP = 1.5

/** In the second table: how many calls at a time each agent makes. */
const AT_A_TIME = [1, 2, 4, 8]

const INCLUDED = `What an answer includes
decision       token checked, policies, limits and standing of the agent, a receipt chained and on disk before the
               answer, a signed permit; copies of the receipts go to D1 meanwhile, and the log of them to R2
Cerbos server  token checked, policies; the decision goes to a log file, unchained, after the answer maybe; attributes
               of agent, user and resource come with each request; on all cores, where workerd takes one`

if (values.help) console.log(HELP)
else await main()

async function main(): Promise<void> {
  const rounds = bounded('rounds', values.rounds, 1, 50)
  const seconds = bounded('seconds', values.seconds, 0.5, 30)
  const connections = bounded('connections', values.connections, 1, 512)
  const dir = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  let cloud: Server<'d1' | 'r2'> | undefined
  let server: Server<'countersign' | 'floors'> | undefined
  let cerbos: Cerbos | undefined
  try {
    const scene = await createScene()
    const built = await buildWorker(join(dir, 'dist'), { minify: !values.profile })
    const [floors, kv, d1, r2] = await Promise.all([
      buildHelper('floors', dir),
      buildHelper('kv', dir),
      buildHelper('d1', dir),
      buildHelper('r2', dir),
    ])
    const scripts = { countersign: built.script, floors, kv, d1, r2 }
    const setting = { dir, scripts, vars: scene.vars, keys: scene.keys }
    cloud = await startWorkerd(dir, 'cloud', cloudConfig(setting))
    await migrate(cloud.ports.d1)
    server = await startWorkerd(dir, 'worker', workerConfig(setting, cloud.ports), { inspect: values.profile })

    const { row, decision, ...beside } = targets(scene, server)
    const measured = [...beside.floors, row, beside.least, decision, ...beside.decisions]
    if (values.peers) {
      cerbos = await startCerbos(dir, scene)
      measured.push(measuring({ target: cerbos.target, used: cerbos.cpu }))
    }
    console.log(
      `Worker ${kilobytes(built.bytes)}, gzipped ${kilobytes(built.gzipped)}. ${scene.policies} policies, ${scene.agents.length} agents, ` +
        `${connections} connections, ${rounds} rounds of ${seconds} s, ${cpus().length} cores that the load shares.`,
    )
    const how = { connections, runUp: RUN_UP, seconds }
    if (server.inspector !== undefined) return await profile(decision, server.inspector, built.sourceMap, how)
    const loads = AT_A_TIME.map(times => ({
      connections: times * scene.agents.length,
      row: measuring(row),
      decision: measuring(decision),
    }))
    await compare(measured, loads, cloud.ports.d1, rounds, how)
  } finally {
    await cerbos?.stop()
    await server?.stop()
    await cloud?.stop()
  }
}

type How = Parameters<typeof load>[1]

async function compare(
  measured: readonly Measured[],
  loads: readonly AtLoad[],
  database: number,
  rounds: number,
  how: How,
): Promise<void> {
  const all = [
    ...measured.map(each => ({ each, how })),
    ...loads.flatMap(({ connections, row, decision }) =>
      [row, decision].map(each => ({ each, how: { ...how, connections } })),
    ),
  ]
  const receipts = () => sum(all.map(({ each }) => receiptsOf(each)))
  for (let round = 0; round < rounds; round++) {
    for (const { each, how } of rotated(all, round)) {
      await measure(each, how)
      // What one target leaves to be done later must not be done on another's time.
      await arrived(database, receipts())
    }
  }
  print(measured)
  if (values.peers) console.log(`\n${INCLUDED}`)
  console.log()
  printByLoad(loads)
  const found = await arrived(database, receipts())
  console.log(`${found.toLocaleString('en')} receipts in D1 of ${receipts().toLocaleString('en')} decisions.`)
  if (found !== receipts()) process.exitCode = 1
}

async function profile({ target }: Measured, inspector: number, sourceMap: string, how: How): Promise<void> {
  await load(target, how)
  await profileOf(inspector, 'countersign', sourceMap, async () => {
    await load(target, { ...how, runUp: 0 })
  })
}

function targets(scene: Scene, { ports, cpu }: Server<'countersign' | 'floors'>) {
  const floor = (path: string, name: string, floor: string) =>
    measuring({ target: floorOf(path, name, scene, ports.floors), floor, used: cpu })
  const deciding = (tenant: TenantName, target: Target) => measuring({ target, used: cpu, tenant })
  return {
    floors: [floor('bare', 'bare Hono route', 'bare'), floor('empty', 'empty object call', 'empty')],
    row: floor('row', 'one-row object call', 'one row'),
    least: floor('least', 'least of a decision', 'least'),
    decision: deciding('plain', decisionsOf('plain', 'decision', scene, ports.countersign)),
    decisions: [
      deciding('counted', decisionsOf('counted', 'decision, counted', scene, ports.countersign)),
      deciding('plain', batchesOf('plain', 'decisions, 8 a call', scene, ports.countersign)),
    ],
  }
}

/** The same bytes as the decisions' requests, to another path. */
function floorOf(path: string, name: string, { agents }: Scene, onPort: number): Target {
  return {
    name,
    port: onPort,
    requests: agents.map(agent =>
      agent.asks.map(ask =>
        post(
          `/${path}/${agent.name}`,
          { subject: { type: 'Agent', id: agent.name }, ...ask },
          { authorization: `Bearer ${agent.token}` },
        ),
      ),
    ),
    isRight: body => body.includes('"done":true'),
  }
}

/** So that none always comes after the same. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const at = by % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

function bounded(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (!(value >= least && value <= most)) throw new Error(`--${name} is ${least} to ${most}`)
  return value
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1_000).toFixed(0)} KB`
}

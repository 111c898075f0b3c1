import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildHelper, buildWorker } from './build.ts'
import { type Cerbos, startCerbos } from './cerbos.ts'
import { cloudConfig, workerConfig } from './config.ts'
import { arrived, migrate } from './database.ts'
import { load, post, type Round, type Target } from './load.ts'
import { profileOf } from './profile.ts'
import { batchesOf, createScene, decisionsOf, type Scene, type TenantName, verifyAnswers } from './scene.ts'
import { median, printTable, quantile, sum } from './table.ts'
import { type Server, startWorkerd } from './workerd.ts'

/**
 * Decisions per second over HTTP, each with its receipt and permit, beside what the platform itself costs:
 * `node bench/http/run.ts`, with `--help` for options. Ends by itself, after some four minutes.
 */

const HELP = `--rounds N       how often each target is measured, in turn (5)
--seconds N      how long at a time (4)
--connections N  kept busy at once (32)
--peers          also the Cerbos server, under the same rules
--profile        instead: where a decision's processor time goes

Every object's commit waits for the disk that TMPDIR lies on, one after the other: workerd is one thread. On a slow or
busy disk that is most of what is measured; in memory (TMPDIR=/dev/shm) it is processor time alone. "µs CPU" is the
processor time of the server's process for each request, with all that it does besides; it suffers least from others.
Where a call asks for several decisions, what is counted is decisions; p50 and p99 are the call's. Sixteen agents ask, by
32 connections two calls at a time each. Calls of one agent that come at the same time are settled with one commit, so the
more of them the less each waits for the disk; each of the floors' calls has a commit of its own.
"least of a decision" is what it can't do without and nothing of what makes it one: the body parsed, as many bytes in as
many rows, a signature and an answer as long; no token, no policy, no hash, no copies.
D1 and R2 are other machines in production; here they are stand-ins in a process of their own, on the same cores.
Ratios are medians of the rounds' ratios.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '32' },
    peers: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** Not counted: after it, the flush of receipts goes on as it does in a long run. */
const RUN_UP = 1.5

/** Decisions are to reach this part of what a Durable Object call that writes one row reaches. */
const AIM = 0.7

const DECISION = 'decision'

const INCLUDED = `What an answer includes
decision       token checked, policies, limits and standing of the agent, a receipt chained and on disk before the
               answer, a signed permit; copies of the receipts go to D1 meanwhile, and the log of them to R2
Cerbos server  token checked, policies; the decision goes to a log file, unchained, after the answer maybe; attributes
               of agent, user and resource come with each request; on all cores, where workerd takes one`

type Measured = {
  target: Target
  rounds: Round[]
  /** Milliseconds of processor time that its server has used. */
  used: () => number
  /** The same, for each request, by round. */
  cpu: number[]
  /** Whose permits its answers hold. */
  tenant?: TenantName
}

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

    const measured = targets(scene, server)
    if (values.peers) {
      cerbos = await startCerbos(dir, scene)
      measured.push({ target: cerbos.target, used: cerbos.cpu, rounds: [], cpu: [] })
    }
    console.log(
      `Worker ${kilobytes(built.bytes)}, gzipped ${kilobytes(built.gzipped)}. ${scene.policies} policies, ${scene.agents.length} agents, ` +
        `${connections} connections, ${rounds} rounds of ${seconds} s, ${cpus().length} cores that the load shares.`,
    )
    const how = { connections, runUp: RUN_UP, seconds }
    if (server.inspector === undefined) await compare(measured, cloud.ports.d1, rounds, how)
    else await profile(measured, server.inspector, built.sourceMap, how)
  } finally {
    await cerbos?.stop()
    await server?.stop()
    await cloud?.stop()
  }
}

type How = Parameters<typeof load>[1]

async function compare(measured: readonly Measured[], database: number, rounds: number, how: How): Promise<void> {
  const decided = () =>
    sum(measured.flatMap(({ rounds, tenant, target }) => (tenant ? rounds.map(({ all }) => all * eachOf(target)) : [])))
  for (let round = 0; round < rounds; round++) {
    for (const each of rotated(measured, round)) {
      await measure(each, how)
      // What one target leaves to be done later must not be done on another's time.
      await arrived(database, decided())
    }
  }
  print(measured)
  if (values.peers) console.log(`\n${INCLUDED}\n`)
  const receipts = await arrived(database, decided())
  console.log(`${receipts.toLocaleString('en')} receipts in D1 of ${decided().toLocaleString('en')} decisions.`)
  if (receipts !== decided()) process.exitCode = 1
}

async function profile(measured: readonly Measured[], inspector: number, sourceMap: string, how: How): Promise<void> {
  const decisions = measured.find(({ tenant }) => tenant === 'plain')
  if (!decisions) throw new Error('nothing to profile')
  await load(decisions.target, how)
  await profileOf(inspector, 'countersign', sourceMap, async () => {
    await load(decisions.target, { ...how, runUp: 0 })
  })
}

function targets(scene: Scene, server: Server<'countersign' | 'floors'>): Measured[] {
  const decisions = (tenant: TenantName, name: string): Measured => ({
    target: decisionsOf(tenant, name, scene, server.ports.countersign),
    used: server.cpu,
    rounds: [],
    cpu: [],
    tenant,
  })
  const floor = (path: string, name: string): Measured => ({
    target: floorOf(path, name, scene, server.ports.floors),
    used: server.cpu,
    rounds: [],
    cpu: [],
  })
  return [
    floor('bare', 'bare Hono route'),
    floor('empty', 'empty object call'),
    floor('row', 'one-row object call'),
    floor('least', 'least of a decision'),
    decisions('plain', DECISION),
    decisions('counted', 'decision, counted'),
    { ...decisions('plain', ''), target: batchesOf('plain', 'decisions, 8 a call', scene, server.ports.countersign) },
  ]
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

async function measure({ target, rounds, used, cpu, tenant }: Measured, how: How): Promise<void> {
  const before = used()
  const round = await load(target, how)
  cpu.push((used() - before) / (round.all * eachOf(target)))
  rounds.push(round)
  if (tenant) await verifyAnswers(tenant, round.sample, target.port)
}

function print(measured: readonly Measured[]): void {
  const perSecond = measured.map(({ rounds, target }) =>
    rounds.map(({ requests, seconds }) => (requests * eachOf(target)) / seconds),
  )
  const ratio = (of: number, to: number) =>
    median(perSecond[of]?.map((rate, round) => rate / (perSecond[to]?.[round] ?? 0)) ?? [])
  const floors = [0, 1, 2, 3]
  const rows = measured.map(({ target, rounds, cpu }, index) => {
    const rates = perSecond[index] ?? []
    const latencies = rounds.flatMap(round => round.latencies).sort((a, b) => a - b)
    return [
      target.name,
      median(rates).toFixed(0),
      `${Math.min(...rates).toFixed(0)}-${Math.max(...rates).toFixed(0)}`,
      quantile(latencies, 0.5).toFixed(2),
      quantile(latencies, 0.99).toFixed(2),
      (median(cpu) * 1_000).toFixed(0),
      ...floors.map(floor => ratio(index, floor).toFixed(2)),
    ]
  })
  printTable(
    ['', 'a second', 'rounds', 'p50 ms', 'p99 ms', 'µs CPU', '/ bare', '/ empty', '/ one row', '/ least'],
    rows,
  )
  const reached = ratio(
    measured.findIndex(({ target }) => target.name === DECISION),
    2,
  )
  console.log(
    `\ndecisions / one-row floor = ${reached.toFixed(2)} (aim: ${AIM} or more, ${reached >= AIM ? 'met' : 'not met'})`,
  )
}

/** How many decisions one request asks for. */
function eachOf({ each = 1 }: Target): number {
  return each
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
